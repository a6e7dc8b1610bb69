"""Trials on a Ray cluster, or on Ray started on this machine."""

import math
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import length_hint
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from dmlbench import ConfigError, Event, Executor, Local, Task, Trial, WorkerSettings
from dmlbench_executors.ray_connection import check_installed, connected, place
from dmlbench_executors.ray_crew import Crew
from dmlbench_executors.ray_worker import Surroundings

_LAST_SECONDS = 2.0
"""How long workers have to tell what became of their trials after the grace period."""
_MOST_INTERRUPTIONS = 3
"""A trial at which so many workers or nodes of Ray died fails: it may be what kills them."""
_MANY = 1_000_000
"""Trials that may follow, if nothing says how many do."""


class Ray(Executor):
    """Workers on a Ray cluster, each with its share of CPUs and GPUs; records are those of `local`.

    The trials of a node that dies go on elsewhere from their checkpoints, if the folder of records
    is shared.

    Args:
        address: of a cluster: ``10.0.0.1:6379``, or ``auto`` for the one that this machine is a
            node of. None: that of the variable RAY_ADDRESS, else Ray is started here for the run.
        jobs: how many trials at most at one time. None: as many as the cluster has room for, and
            one that waits for more room, which makes a cluster that scales by itself add a node.
        num_cpus: CPUs for each trial, which Ray counts; parts of one, too.
        num_gpus: GPUs for each trial; 0.25 has four share a GPU. None: as many as a trial has
            devices (1, or ``--devices-per-trial``) if the cluster has GPUs or ``--device`` asks for
            one, else 0.
        variables: which environment variables workers take over: the beginnings of their names,
            with commas.
        isolate: whether every trial gets a process of its own.
        trial_timeout: seconds after which a trial fails; None: never.
        trial_memory: MiB of resident memory, of a worker and what its plugins start, over which
            its trial fails; None: no limit.
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        jobs: int | None = None,
        num_cpus: float = 1.0,
        num_gpus: float | None = None,
        variables: str = "DMLBENCH_,HF_,TORCH_",
        isolate: bool = False,
        trial_timeout: float | None = None,
        trial_memory: float | None = None,
    ) -> None:
        check_installed()
        limits: dict[str, Any] = {
            "isolate": isolate,
            "trial_timeout": trial_timeout,
            "trial_memory": trial_memory,
        }
        Local(jobs=jobs, **limits)  # checks them
        for name, amount in (("num_cpus", num_cpus), ("num_gpus", num_gpus or 0.0)):
            if not 0 <= amount < math.inf or (amount > 1 and amount % 1):
                raise ConfigError(
                    f"executor.{name}={amount}: it is a part of 1, such as 0.5, or a whole number."
                )
        if not num_cpus and not num_gpus:
            raise ConfigError(
                "executor.num_cpus=0: a trial that takes neither CPUs nor GPUs has no place where "
                "Ray could put it. Give executor.num_gpus, too."
            )
        self.address = address
        self.jobs = jobs
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus
        self.variables = variables
        self._limits = limits
        self._deadline = math.inf
        self._cancelled: set[str] = set()

    def run(self, task: Task, trials: Iterator[Trial], settings: WorkerSettings) -> Iterator[Event]:
        """Run `trials` on Ray; nothing is started if there are none."""
        self._check_devices(settings)
        if self._is_stopping or (first := next(trials, None)) is None:
            return
        with connected(self.address) as grows, _mark_in(settings.records) as mark:
            num_gpus = self._gpus_each(settings)
            crew = Crew(
                (task, replace(settings, device="cuda" if num_gpus else "cpu"), mark),
                Surroundings.here(self.variables.split(",")),
                self._limits,
                num_cpus=self.num_cpus,
                num_gpus=num_gpus,
                jobs=self.jobs,
                grows=grows,
            )
            try:
                yield from self._events(crew, deque([first]), trials)
            finally:
                crew.end()

    def _events(self, crew: Crew, drawn: deque[Trial], trials: Iterator[Trial]) -> Iterator[Event]:
        """Hand out trials as workers are free, and yield what happens to them."""
        interruptions: Counter[str] = Counter()
        while True:
            if self._is_stopping:
                if not crew.busy or time.monotonic() > self._deadline + _LAST_SECONDS:
                    return
                for worker in crew.busy:
                    worker.ask_to_stop(self._deadline - time.monotonic())
            else:
                exhausted = yield from self._hand_out(crew, drawn, trials)
                if exhausted and not crew.busy:
                    return
            for worker in crew.busy:
                if worker.trial is not None and worker.trial.id in self._cancelled:
                    worker.cancel()
            for worker in crew.wait():
                for event in worker.receive():
                    yield self._judged(event, interruptions)

    def _hand_out(
        self, crew: Crew, drawn: deque[Trial], trials: Iterator[Trial]
    ) -> Generator[Event, None, bool]:
        """Hand trials to idle workers; return whether there are no more, for now."""
        while crew.idle:
            trial = drawn.popleft() if drawn else next(trials, None)
            if trial is None:
                crew.dismiss()
                return True
            if trial.id in self._cancelled:
                yield Event("lost", trial, reason="cancelled")
            else:
                crew.idle[0].start(trial)
        crew.hire(len(drawn) + length_hint(trials, _MANY))
        return False

    def _judged(self, event: Event, interruptions: Counter[str]) -> Event:
        """Return `event`, or that its trial is lost: it was interrupted too often, or cancelled."""
        if event.kind != "interrupted":
            return event
        if event.trial.id in self._cancelled:
            return Event("lost", event.trial, reason="cancelled")
        interruptions[event.trial.id] += 1
        if interruptions[event.trial.id] < _MOST_INTERRUPTIONS:
            return event
        reason = f"{_MOST_INTERRUPTIONS} workers or nodes of Ray died at it: {event.reason}"
        return Event("lost", event.trial, reason=reason)

    def _check_devices(self, settings: WorkerSettings) -> None:
        """Check that the run's devices go with the GPUs that are asked for.

        Raises:
            ConfigError: they don't.
        """
        device, several = settings.device, settings.devices_per_trial
        if several > 1 and self.num_gpus not in (None, 0, several):
            raise ConfigError(
                f"--devices-per-trial {several} and executor.num_gpus={self.num_gpus:g} contradict "
                "each other. Leave executor.num_gpus out."
            )
        if device not in ("auto", "cpu", "cuda"):
            raise ConfigError(
                f"--device {device}: Ray itself gives each trial its CPUs and GPUs. Leave --device "
                "out, and say --set executor.num_gpus=1."
            )
        if self.num_gpus is not None and device == ("cpu" if self.num_gpus else "cuda"):
            raise ConfigError(
                f"--device {device} and executor.num_gpus={self.num_gpus:g} contradict each other. "
                "Leave --device out."
            )

    def _gpus_each(self, settings: WorkerSettings) -> float:
        import ray

        if self.num_gpus is not None:
            return self.num_gpus
        there = settings.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0
        return float(settings.devices_per_trial) if there or settings.device == "cuda" else 0.0

    @property
    def _is_stopping(self) -> bool:
        return self._deadline < math.inf

    def stop(self, grace: float) -> None:
        """Start no other trial; ask those under way to stop, and end them after `grace` seconds."""
        self._deadline = time.monotonic() + grace

    def cancel(self, trial: Trial) -> None:
        """End `trial`, wherever it runs."""
        self._cancelled.add(trial.id)

    def where(self, settings: WorkerSettings) -> str:
        """Return which cluster."""
        where = place(self.address)
        cluster = "started on this machine" if where == "local" else f"at {where}"
        return f"on Ray {cluster}"


@contextmanager
def _mark_in(records: Path) -> Iterator[str]:
    """Yield the name of a file in the folder of records, by which workers know whether they see it.

    Raises:
        ConfigError: nothing can be written there.
    """
    try:
        records.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(prefix=".ray-", dir=records) as mark:
            yield Path(mark.name).name
    except OSError as error:
        raise ConfigError(f"Can't write to {records}: {error.strerror or error}.") from error
