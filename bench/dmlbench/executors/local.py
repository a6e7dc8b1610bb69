"""Trials in worker processes on this machine, which live for the whole run.

Each worker has a pipe of its own to this process. So it is always known which trial a worker was
at when it died, one that dies takes no lock with it, and all end when this process does.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from dmlbench.contracts.executor import Event, WorkerSettings
from dmlbench.errors import DataError
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.record_store import Store

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_GRACE_SECONDS = 5.0
_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process that used torch may hang


def run_local(
    trials: Sequence[Trial], settings: WorkerSettings, jobs: int
) -> Generator[Event, None, None]:
    """Run `trials` in `jobs` worker processes and yield what happens, as it happens.

    Each worker computes on one CPU thread: so side by side they do more than one process with
    many threads, and the figures do not depend on their number.
    """
    waiting = deque(trials)
    workers = [_Worker(settings) for _ in range(min(jobs, len(trials)))]
    try:
        while waiting or any(worker.trial for worker in workers):
            for place, worker in enumerate(workers):
                if waiting and worker.is_dead():
                    worker.stop()
                    workers[place] = _Worker(settings)
            for worker in workers:
                if worker.trial is None and waiting:
                    worker.start(waiting.popleft())
            busy = [worker for worker in workers if worker.trial]
            ready = wait([worker.pipe for worker in busy])
            for worker in busy:
                if worker.pipe in ready:
                    yield worker.next_event()
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A worker process as this process sees it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.trial: Trial | None = None
        self.ended = False
        self.pipe, theirs = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(
            target=_work, args=(theirs, settings), daemon=True
        )
        with _one_thread():
            self.process.start()
        theirs.close()  # so that this end sees it when the worker dies

    def is_dead(self) -> bool:
        """Return whether it must be replaced; one that died at a trial first has its last words."""
        return self.ended or (self.trial is None and not self.process.is_alive())

    def start(self, trial: Trial) -> None:
        self.trial = trial
        with suppress(OSError):  # if it died idle, `next_event` finds the pipe closed
            self.pipe.send(trial)

    def next_event(self) -> Event:
        assert self.trial is not None
        try:
            event: Event
            event, self.ended = self.pipe.recv()
        except (EOFError, OSError):
            event = Event("finished", self.trial, record=self._last_words(self.trial))
            self.ended = True
        if event.kind == "finished":
            self.trial = None
        return event

    def _last_words(self, trial: Trial) -> Record:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        hint = " The machine may have run out of memory." if -code == signal.SIGKILL else ""
        reason = f"The worker process {how} in the middle of the trial.{hint}"
        store = Store(self.settings.records)
        with suppress(DataError):  # it may have died after its work was done
            written = store.read(trial)
            if written is not None and written.status == "finished":
                return written
        record = Record(id=trial.id, trial=trial, status="failed", reason=reason)
        return store.keep(record)

    def stop(self) -> None:
        """End the process: in its own time if it is idle, at once if it is at a trial."""
        self.pipe.close()
        if self.trial is None:
            self.process.join(_GRACE_SECONDS)
        self.process.terminate()
        self.process.join()


def _work(pipe: "Connection[Any, Any]", settings: WorkerSettings) -> None:
    """Run the trials that come through `pipe` until it closes, or the device works no more.

    What happens goes back through it, each time with whether it was the last.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent acts
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.workplace import Workplace
    from dmlbench.compute import device
    from dmlbench.trials.run_trial import run_trial

    def tell(event: Event, *, last: bool = False) -> None:
        try:
            pipe.send((event, last))
        except OSError:  # nobody listens any more
            os._exit(1)

    workplace = Workplace(
        Catalogue.discover(),
        settings.data_dir,
        device.pick_device(settings.device),
        settings.cache_dir,
    )
    store = Store(settings.records)
    while True:
        try:
            trial = pipe.recv()
        except EOFError:
            return
        tell(Event("started", trial))
        keep = partial(store.write_embeddings, trial) if settings.keep_embeddings else None
        record = run_trial(
            trial, workplace, partial(_tell_epoch, tell, trial), keep, settings.metrics
        )
        last = record.status == "failed" and not device.still_works(workplace.device)
        tell(Event("finished", trial, record=store.keep(record)), last=last)
        if last:
            os._exit(1)  # what else runs when a process ends may wait for the device


def _tell_epoch(tell: Callable[[Event], None], trial: Trial, epoch: Epoch) -> None:
    tell(Event("epoch", trial, epoch=epoch))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes started inside find settings for one thread, where the user made none."""
    unset = [name for name in _THREAD_SETTINGS if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]
