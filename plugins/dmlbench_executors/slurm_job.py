"""What runs in a job: its trials in worker processes, and how they are saved before it must go."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from dmlbench import Event, Local, Task, Trial, WorkerSettings
from dmlbench_executors.slurm_commands import states
from dmlbench_executors.slurm_files import EventFile, Lines

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

_TICK_SECONDS = 1.0
"""How often the run's orders are looked at."""

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What Slurm sends before it takes a job's node away, by its and submitit's settings."""


@dataclass(frozen=True)
class Job:
    """What submitit calls in a job. It is pickled for that, and again when the job is requeued.

    Args:
        task: what to do with each trial, as ``module:name``: it is imported once `path` is set.
        trials: those of this job. A requeued job leaves out what is over.
        settings: of the workers.
        devices: one for each trial that runs side by side with others.
        limits: options of the `Local` executor that starts the workers.
        events: file that tells what happens.
        orders: file with what the run wants of all its jobs.
        cluster: of submitit, which the job runs on.
        grace: seconds for a trial to be saved after a signal.
        path: ``sys.path`` of the run: trials may name the user's modules.
    """

    task: str
    trials: tuple[Trial, ...]
    settings: WorkerSettings
    devices: tuple[str, ...]
    limits: Mapping[str, Any]
    events: Path
    orders: Path
    cluster: str
    grace: float
    path: tuple[str, ...]

    def __call__(self) -> None:
        """Run the trials, and note what happens to them."""
        sys.path[:] = self.path
        told = EventFile(self.events, self.trials)
        left = {trial.id: trial for trial in self.trials}
        for event in told.new():
            if event.is_last:
                left.pop(event.trial.id, None)
        lanes = [Local(jobs=1, **self.limits) for _ in self.devices]
        orders = _Orders(self.orders, lanes, self.trials)
        with ExitStack() as stack:
            signals = _Signals(lanes, self.grace)
            if self.cluster != "debug":  # where this is the run's own process
                stack.enter_context(signals)
            for event in self._side_by_side(lanes, list(left.values()), orders.follow):
                if event.is_last and signals.came and event.record is None and not orders.to_stop:
                    continue  # it goes on when the job is requeued
                told.append(event)
                if event.is_last:
                    left.pop(event.trial.id, None)
            if left and signals.came and not orders.to_stop:
                signals.give_job_back(self.cluster)

    def checkpoint(self) -> "DelayedSubmission":
        """Return what submitit is to run when the job is requeued: trials have saved themselves."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _side_by_side(
        self, lanes: list[Local], trials: list[Trial], meanwhile: Callable[[], None]
    ) -> Iterator[Event]:
        """Yield what happens to `trials`, each of which goes to the next lane that is free."""
        module, _, name = self.task.partition(":")
        task: Task = getattr(import_module(module), name)
        waiting = iter(trials)
        queue: SimpleQueue[Event | BaseException | None] = SimpleQueue()

        def run(lane: Local, device: str) -> None:
            settings = replace(self.settings, device=device)
            try:
                for event in lane.run(task, waiting, settings):
                    queue.put(event)
                queue.put(None)
            except BaseException as error:  # to be raised where the job sees it
                queue.put(error)

        meanwhile()
        pairs = list(zip(lanes, self.devices, strict=True))
        threads = [Thread(target=run, args=pair, daemon=True) for pair in pairs]
        for thread in threads:
            thread.start()
        running, look = len(threads), time.monotonic() + _TICK_SECONDS
        try:
            while running:
                if time.monotonic() >= look:
                    meanwhile()
                    look = time.monotonic() + _TICK_SECONDS
                try:
                    item = queue.get(timeout=_TICK_SECONDS / 4)
                except Empty:
                    continue
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for lane in lanes:
                lane.stop(0)
            for thread in threads:
                thread.join()


class _Orders:
    """Does what the run asks of all its jobs: ``stop SECONDS`` and ``cancel TRIAL``."""

    def __init__(self, path: Path, lanes: list[Local], trials: tuple[Trial, ...]) -> None:
        self.to_stop = False
        self._lines, self._lanes = Lines(path), lanes
        self._trials = {trial.id: trial for trial in trials}

    def follow(self) -> None:
        """Follow the orders that have come since the last time."""
        try:
            orders = list(self._lines.new())
        except FileNotFoundError:  # the run has ended, and its folder is gone
            orders = ["stop 0"]
        for line in orders:
            order, _, argument = line.partition(" ")
            for lane in self._lanes:
                if order == "stop":
                    self.to_stop = True
                    lane.stop(float(argument))
                elif argument in self._trials:
                    lane.cancel(self._trials[argument])


class _Signals:
    """Has the trials saved when Slurm says that the job must go, and the job requeued after that.

    Attributes:
        came: whether Slurm said so.
    """

    def __init__(self, lanes: list[Local], grace: float) -> None:
        self.came = False
        self._lanes, self._grace = lanes, grace
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._handle)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.came:
            self.came = True
            for lane in self._lanes:
                lane.stop(self._grace)

    def give_job_back(self, cluster: str) -> None:
        """Have submitit requeue the job and end this process.

        Not if Slurm does that, or does not want the job back: then this process ends, no more.
        """
        if cluster == "slurm":
            from submitit import JobEnvironment

            job = JobEnvironment().job_id
            state = states([job]).get(job)
            if state is not None and state.name != "RUNNING":
                sys.exit(128 + signal.SIGTERM)
        number = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}")
        self._before[number](number, None)
