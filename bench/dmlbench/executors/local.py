"""Trials in worker processes on this machine, which live for the whole run."""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import wait

from dmlbench.contracts.executor import Event, Executor, Task, WorkerSettings
from dmlbench.counted import counted
from dmlbench.errors import ConfigError
from dmlbench.executors.process_tree import resident_mib
from dmlbench.executors.worker_process import WorkerProcess, end
from dmlbench.schemas.trial import Trial

_TICK_SECONDS = 0.1
"""How often `stop` and `cancel` are looked at, and processes that died without closing a pipe."""
_MEMORY_SECONDS = 0.5
"""How often the memory of workers is looked at, if it has a limit."""


class Local(Executor):
    """Worker processes on this machine; `jobs` of them, or as many as suit the device.

    Each computes on one CPU thread: side by side they do more than one process with many threads,
    and the figures do not depend on their number.

    Args:
        jobs: how many; None: one for each of `devices`, else one a CPU core, or one on a GPU.
        devices: where they compute, in turn, such as ``cuda:0,cuda:1``; one that is named twice
            takes two trials side by side. ``all``: every GPU. None: all on the device of the run.
        isolate: whether every trial gets a process of its own.
        trial_timeout: seconds after which a trial fails; None: never.
        trial_memory: MiB of resident memory, of a worker and what its plugins start, over which
            its trial fails; None: no limit.
    """

    def __init__(
        self,
        *,
        jobs: int | None = None,
        devices: str | None = None,
        isolate: bool = False,
        trial_timeout: float | None = None,
        trial_memory: float | None = None,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise ConfigError(
                f"executor.jobs={jobs}: at least 1 worker process is needed. To run trials without "
                "any, say --executor inline."
            )
        for name, limit in (("trial_timeout", trial_timeout), ("trial_memory", trial_memory)):
            if limit is not None and not limit > 0:
                raise ConfigError(f"executor.{name}={limit}: a limit is a number above 0.")
        self.jobs = jobs
        self.devices = devices
        self.isolate = isolate
        self.trial_timeout = trial_timeout
        self.trial_memory = trial_memory
        self._memory_seen = 0.0
        self._deadline = math.inf
        self._cancelled: set[str] = set()

    def run(self, task: Task, trials: Iterator[Trial], settings: WorkerSettings) -> Iterator[Event]:
        """Run up to `jobs` of `trials` side by side; a worker that died or is unfit is replaced."""
        devices = self._devices(settings)
        slots = self.trials_at_once(settings)
        workers: list[WorkerProcess] = []
        try:
            while time.monotonic() < self._deadline:
                workers = _without_dead(workers)
                if self._deadline < math.inf:
                    for worker in _busy(workers):
                        worker.ask_to_stop()
                while len(_busy(workers)) < slots and self._deadline == math.inf:
                    trial = next(trials, None)
                    if trial is None:
                        break
                    if trial.id in self._cancelled:
                        yield Event("lost", trial, reason="cancelled")
                        continue
                    idle = [worker for worker in workers if worker.trial is None]
                    if not idle:
                        device = least_used(devices, [worker.device for worker in workers])
                        idle = [WorkerProcess(task, replace(settings, device=device))]
                        workers += idle
                    idle[0].start(trial)
                if not _busy(workers):
                    return
                yield from self._events(_busy(workers))
        finally:
            end(workers)

    def _events(self, busy: list[WorkerProcess]) -> Iterator[Event]:
        """Wait a moment; yield the next event of each worker that has one."""
        ready = wait([worker.pipe for worker in busy], _TICK_SECONDS)
        limit = self.trial_timeout or math.inf
        for worker in busy:
            if worker.trial is not None and worker.trial.id in self._cancelled:
                yield worker.lose("cancelled")
                continue
            if worker.pipe in ready or worker.has_died():
                event = worker.next_event()
                if event.kind == "stopped" and self._deadline == math.inf:
                    reason = "The worker process was asked to end by SIGTERM during the trial."
                    event = Event("lost", event.trial, reason=reason)
                yield event
                worker.retired = worker.retired or (self.isolate and worker.trial is None)
            if worker.trial is not None and time.monotonic() - worker.began > limit:
                yield worker.lose(
                    f"It took longer than the limit of {limit:,.10g} seconds (--trial-timeout)."
                )
        if self.trial_memory is not None:
            yield from self._over_memory([worker for worker in busy if worker.trial is not None])

    def _over_memory(self, busy: list[WorkerProcess]) -> Iterator[Event]:
        """Lose the trials whose workers take more memory than they may."""
        if time.monotonic() - self._memory_seen < _MEMORY_SECONDS:
            return
        self._memory_seen = time.monotonic()
        for worker in busy:
            taken = resident_mib(worker.process.pid)
            if self.trial_memory is not None and taken > self.trial_memory:
                yield worker.lose(
                    f"It took {taken:,.0f} MiB of memory, more than the limit of "
                    f"{self.trial_memory:,.0f} MiB (--trial-memory)."
                )

    def stop(self, grace: float) -> None:
        """Start no other trial; ask those under way to stop, and end them after `grace` seconds."""
        self._deadline = time.monotonic() + grace

    def cancel(self, trial: Trial) -> None:
        """End the worker that is at `trial`; another takes its place."""
        self._cancelled.add(trial.id)

    def trials_at_once(self, settings: WorkerSettings) -> int:
        """Return the number of workers."""
        if self.jobs:
            return self.jobs
        if self.devices:
            return len(self._devices(settings))
        return max(1, default_jobs(settings.device) // settings.devices_per_trial)

    def where(self, settings: WorkerSettings) -> str:
        """Return the number of workers, and of their devices if there are several."""
        on = f" on {', '.join(dict.fromkeys(self._devices(settings)))}" if self.devices else ""
        each = f" on {n} devices each" if (n := settings.devices_per_trial) > 1 else ""
        workers = counted(self.trials_at_once(settings), "worker process", "worker processes")
        return f"{workers}{on}{each}"

    def _devices(self, settings: WorkerSettings) -> list[str]:
        """Return the devices that workers get in turn.

        Raises:
            ConfigError: one isn't there, or the run has devices of its own.
        """
        if self.devices is None:
            return [settings.device]
        if settings.device != "auto":
            raise ConfigError(
                f"--device {settings.device} is where all workers compute, --devices "
                f"{self.devices} has them take turns. Leave one out."
            )
        if settings.devices_per_trial > 1:
            raise ConfigError(
                f"--devices {self.devices} is for trials on one device each, and "
                f"--devices-per-trial {settings.devices_per_trial} takes the first "
                f"{settings.devices_per_trial} of this machine. Leave one out."
            )
        from dmlbench.compute.device import named_devices

        return named_devices(self.devices)


def least_used(devices: list[str], used: list[str]) -> str:
    """Return the first of `devices` that has most room; one that is named twice has twice as much.

    Example:
        >>> least_used(["cuda:0", "cuda:0", "cuda:1"], ["cuda:0", "cuda:1"])
        'cuda:0'
    """
    return min(devices, key=lambda device: used.count(device) / devices.count(device))


def default_jobs(device: str) -> int:
    """Return how many worker processes suit `device`: one a CPU core, but one a GPU."""
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    if not device.startswith("cpu"):
        return 1  # all workers share it
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _busy(workers: list[WorkerProcess]) -> list[WorkerProcess]:
    return [worker for worker in workers if worker.trial is not None]


def _without_dead(workers: list[WorkerProcess]) -> list[WorkerProcess]:
    """Return the workers that are left; end those that can take no more trials.

    One that died at a trial stays until `next_event` has read its last words.
    """
    alive = []
    for worker in workers:
        if worker.retired or (worker.trial is None and worker.has_died()):
            worker.kill()
        else:
            alive.append(worker)
    return alive
