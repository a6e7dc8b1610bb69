"""A worker process on this machine, from both sides of its pipe.

Each worker has a pipe of its own to the parent. So it is always known which trial a worker was at
when it died, one that dies takes no lock with it, and all end when the parent does.

``multiprocessing`` would import the caller's main module into each worker, and so run a script that
has no ``if __name__ == "__main__"`` guard again. These processes start from nothing instead.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_command_line
from queue import SimpleQueue
from types import FrameType
from typing import Any

from dmlbench.contracts.executor import Event, Task, WorkerSettings
from dmlbench.schemas.trial import Trial

_GRACE_SECONDS = 5.0
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

# Ctrl-C and a closed terminal reach the whole process group, and the parent acts on them.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from multiprocessing.connection import Connection
pipe = Connection(int(sys.argv[1]))
sys.path[:] = pipe.recv()
from dmlbench.executors.worker_process import work
work(pipe)
"""


class WorkerProcess:
    """A worker process as its parent sees it.

    Attributes:
        pipe: carries events; ready to be read when there is one, or when the worker died.
        trial: the one under way, if any.
        retired: whether it can take no more trials.
    """

    def __init__(self, task: Task, settings: WorkerSettings) -> None:
        self.trial: Trial | None = None
        self.retired = False
        self._asked_to_stop = False
        self.pipe, theirs = multiprocessing.Pipe()
        interpreter = get_command_line()[:-3]  # with the flags of this one, without its program
        with theirs:  # closed here, so that this end sees it when the worker dies
            self.process = subprocess.Popen(
                [*interpreter, "-P", "-c", _START, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=dict.fromkeys(_THREAD_SETTINGS, "1") | os.environ,
            )
        self._send(sys.path)
        self._send((task, settings))

    def start(self, trial: Trial) -> None:
        """Hand it `trial`. It must be idle."""
        self.trial = trial
        self._send(trial)

    def ask_to_stop(self) -> None:
        """Ask its trial to stop, once. It is given no other one."""
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self._send(None)

    def _send(self, message: object) -> None:
        with suppress(OSError):  # if it has died, `next_event` finds the pipe closed
            self.pipe.send(message)

    def has_died(self) -> bool:
        """Return whether the process is gone; what it said before can still be in the pipe."""
        return self.process.poll() is not None

    def next_event(self) -> Event:
        """Return what happened to its trial; ``lost`` if the worker died at it."""
        assert self.trial is not None
        try:
            if self.has_died() and not self.pipe.poll():
                raise EOFError  # a process that it started still holds the other end
            event: Event = self.pipe.recv()
        except (EOFError, OSError):
            event = Event("lost", self.trial, reason=self._last_words())
            self.retired = True
        if event.is_last:
            self.trial = None
            self.retired = self.retired or event.worker_broken
        return event

    def _last_words(self) -> str:
        code = self._wait()
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        hint = " The machine may have run out of memory." if -code == signal.SIGKILL else ""
        return f"The worker process {how} in the middle of the trial.{hint}"

    def end(self) -> None:
        """End the process: in its own time if it is idle, at once if it is at a trial."""
        self.pipe.close()
        if self.trial is not None:
            self.process.terminate()
        self._wait()

    def _wait(self) -> int:
        """Return the exit code, of a process that should be ending; kill it if it does not."""
        try:
            return self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def work(pipe: "Connection[Any, Any]") -> None:
    """Run the trials that come through `pipe` until it closes, or the device gives up."""
    task, settings = pipe.recv()
    trials: SimpleQueue[Trial | None] = SimpleQueue()
    idle, stop = threading.Event(), threading.Event()
    idle.set()
    threading.Thread(target=_listen, args=(pipe, trials, idle, stop), daemon=True).start()

    def end(number: int, frame: FrameType | None) -> None:
        if idle.is_set():
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, end)  # batch systems send it to all processes of a job

    def report(event: Event) -> None:
        try:
            pipe.send(event)
        except OSError:  # the parent is gone
            os._exit(1)

    while (trial := trials.get()) is not None:
        event = task(trial, settings, report, stop.is_set)
        idle.set()
        report(event)
        if event.worker_broken:
            os._exit(1)  # an orderly exit may wait for the device


def _listen(
    pipe: "Connection[Any, Any]",
    trials: "SimpleQueue[Trial | None]",
    idle: threading.Event,
    stop: threading.Event,
) -> None:
    """Queue the trials that come, of which None asks to stop; end when the parent is gone."""
    with suppress(EOFError, OSError):
        while True:
            trial = pipe.recv()
            if trial is None:
                stop.set()
                continue
            idle.clear()
            trials.put(trial)
    if not idle.is_set():
        os._exit(1)
    trials.put(None)
