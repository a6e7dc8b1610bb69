"""A worker process on this machine, from both sides of its pipe.

Each worker has a pipe of its own to the parent. So it is always known which trial a worker was at
when it died, one that dies takes no lock with it, and all end when the parent does.

``multiprocessing`` would import the caller's main module into each worker, and so run a script that
has no ``if __name__ == "__main__"`` guard again. These processes start from nothing instead.

Each leads a session of its own, so that what its plugins start ends with it. Ctrl-C in a terminal
reaches the parent alone, which acts on it.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_command_line
from queue import SimpleQueue
from types import FrameType
from typing import Any

import psutil

from dmlbench.contracts.executor import Event, Task, WorkerSettings
from dmlbench.executors.process_tree import end_this_process, kill_all, started_by
from dmlbench.schemas.trial import Trial

_GRACE_SECONDS = 5.0
_CONNECTION_LOST = 74
"""Exit code of a worker that can't reach its parent: EX_IOERR."""
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

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
        device: where it computes.
        pipe: carries events; ready to be read when there is one, or when the worker died.
        trial: the one under way, if any.
        began: when that started, by `time.monotonic`.
        retired: whether it can take no more trials.
    """

    def __init__(
        self, task: Task, settings: WorkerSettings, environment: Mapping[str, str] | None = None
    ) -> None:
        self.device = settings.device
        self.trial: Trial | None = None
        self.began = 0.0
        self.retired = False
        self.family: list[psutil.Process] = []
        self._asked_to_stop = False
        self.pipe, theirs = multiprocessing.Pipe()
        interpreter = get_command_line()[:-3]  # with the flags of this one, without its program
        with theirs:  # closed here, so that this end sees it when the worker dies
            self.process = subprocess.Popen(
                [*interpreter, "-P", "-c", _START, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**dict.fromkeys(_THREAD_SETTINGS, "1"), **os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._send(sys.path)
        self._send((task, settings))

    def start(self, trial: Trial) -> None:
        """Hand it `trial`. It must be idle."""
        self.trial = trial
        self.began = time.monotonic()
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
            return self.lose(self._last_words())
        if event.kind == "started":
            self.began = time.monotonic()  # what the process imports first is not the trial's time
        if event.is_last:
            self.trial = None
            self.retired = event.worker_broken or event.kind == "stopped"
        return event

    def lose(self, reason: str) -> Event:
        """Kill the process at its trial, and return that this is lost for `reason`."""
        assert self.trial is not None
        event = Event("lost", self.trial, reason=reason)
        self.retired = True
        self.kill()
        self.trial = None
        return event

    def _last_words(self) -> str:
        try:
            code = self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            code = _CONNECTION_LOST
        if code == _CONNECTION_LOST:
            return (
                "The worker process lost its connection to the run in the middle of the trial. A "
                "plugin may have closed files that are not its own."
            )
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        hint = " The machine may have run out of memory." if -code == signal.SIGKILL else ""
        return f"The worker process {how} in the middle of the trial.{hint}"

    def close(self) -> None:
        """Ask the process to end: when it is idle, in its own time."""
        if not self.has_died():
            self.family = started_by(self.process.pid)
        self.pipe.close()
        if self.trial is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End the process at once, with all that it started."""
        if not self.has_died():  # else the id may be another's
            self.family += started_by(self.process.pid)
        kill_all(self.process.pid, self.family)
        self.pipe.close()
        with suppress(subprocess.TimeoutExpired):  # even a killed one may wait for a device
            self.process.wait(_GRACE_SECONDS)


def end(workers: list[WorkerProcess]) -> None:
    """End `workers`, those at a trial too; kill what is left of them after a few seconds."""
    for worker in workers:
        worker.close()
    limit = time.monotonic() + _GRACE_SECONDS
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(max(limit - time.monotonic(), 0))
        worker.kill()


def work(pipe: "Connection[Any, Any]") -> None:
    """Run the trials that come through `pipe` until it closes, or one makes the process unfit."""
    os.register_at_fork(after_in_child=pipe.close)  # what a plugin forks speaks for no trial
    task, settings = pipe.recv()
    trials: SimpleQueue[Trial | None] = SimpleQueue()
    idle, stop = threading.Event(), threading.Event()
    idle.set()
    threading.Thread(target=_listen, args=(pipe, trials, idle, stop), daemon=True).start()

    def end(number: int, frame: FrameType | None) -> None:
        if idle.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, end)  # batch systems send them to all processes of a job

    def report(event: Event) -> None:
        try:
            pipe.send(event)
        except OSError:  # the parent is gone, or this is a fork, or all files were closed
            os._exit(_CONNECTION_LOST)

    while (trial := trials.get()) is not None:
        event = task(trial, settings, report, stop.is_set)
        idle.set()
        report(event)
        if event.worker_broken:
            trials.get()  # there comes no other, but the end
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
        end_this_process()
    trials.put(None)
