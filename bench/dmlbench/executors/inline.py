"""Trials one after the other in this process: for debugging, and inside another program."""

import math
import time
from collections.abc import Iterator
from contextlib import suppress

from dmlbench.contracts.executor import Event, Executor, Task, WorkerSettings
from dmlbench.errors import ConfigError, TrialEnded
from dmlbench.executors.local import Local
from dmlbench.schemas.trial import Trial


class Inline(Executor):
    """One trial after the other in this process, without workers.

    After one that left the process changed, the others run in a worker process. A trial's epochs
    are reported when it is over. `stop` takes effect at the end of a step, `cancel` at the end of
    an epoch.
    """

    def __init__(self) -> None:
        self._deadline = math.inf
        self._cancelled: set[str] = set()
        self._worker = Local(jobs=1)

    def run(self, task: Task, trials: Iterator[Trial], settings: WorkerSettings) -> Iterator[Event]:
        """Run `trials` in order.

        Raises:
            ConfigError: a trial is to have several devices, and so processes.
        """
        if settings.devices_per_trial > 1:
            raise ConfigError(
                "A trial on several devices (--devices-per-trial) needs worker processes: leave "
                "out --jobs 0 and --executor inline."
            )
        while self._deadline == math.inf and (trial := next(trials, None)):
            if trial.id not in self._cancelled:
                yield Event("started", trial)
            reported: list[Event] = []
            finished = None

            def report(event: Event, reported: list[Event] = reported) -> None:
                if event.trial.id in self._cancelled or time.monotonic() > self._deadline:
                    raise TrialEnded
                reported.append(event)

            with suppress(TrialEnded):
                finished = task(trial, settings, report, self._is_stopping)
            yield from (event for event in reported if event.kind == "epoch")
            if finished:
                yield finished
                if finished.worker_broken:
                    yield from self._worker.run(task, trials, settings)
                    return
            elif trial.id in self._cancelled:
                yield Event("lost", trial, reason="cancelled")

    def stop(self, grace: float) -> None:
        """Ask the trial under way to stop, end it after `grace` seconds, and start no other."""
        self._deadline = time.monotonic() + grace
        self._worker.stop(grace)

    def _is_stopping(self) -> bool:
        return self._deadline < math.inf

    def cancel(self, trial: Trial) -> None:
        """End `trial` when its epoch ends."""
        self._cancelled.add(trial.id)
        self._worker.cancel(trial)

    def trials_at_once(self, settings: WorkerSettings) -> int:
        """Return that trials run one after the other."""
        return 1

    def where(self, settings: WorkerSettings) -> str:
        """Return that there are no workers."""
        return "in this process"
