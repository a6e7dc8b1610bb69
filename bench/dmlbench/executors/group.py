"""One trial on several devices: the worker leads processes of its own, one for each other device.

They do what the worker does with the trial, each with its share of every batch (`compute.world`),
but write nothing. They end with the worker, as they are its workers. What they are told is in
torchrun's variables: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from itertools import count
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from dmlbench.contracts.executor import Event, WorkerSettings, never
from dmlbench.errors import HelpedError, RankLostError
from dmlbench.executors.worker_process import WorkerProcess, end
from dmlbench.schemas.trial import Trial

if TYPE_CHECKING:
    import torch

_GRACE_SECONDS = 15.0
"""After a trial: processes that have not ended theirs by then are killed."""
_LOOK_SECONDS = 0.2


class Group:
    """The processes of the other devices, as the worker that leads them sees them.

    Args:
        settings: of the worker.

    Attributes:
        world: the worker's place.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        from dmlbench.compute.world import HERE, World, open_meeting_point

        self.world = World(0, settings.devices_per_trial)
        self._meeting_point = open_meeting_point()
        place = {"MASTER_ADDR": HERE, "MASTER_PORT": str(self._meeting_point.port)}
        place |= {"WORLD_SIZE": str(self.world.size)}
        self._others = [
            WorkerProcess(help_with, replace(settings, device=device_of_rank(settings, rank)), at)
            for rank in range(1, self.world.size)
            for at in [place | {"RANK": str(rank), "LOCAL_RANK": str(rank)}]
        ]
        self._trials = 0
        self._started: set[int] = set()
        self._said: dict[int, str] = {}

    @contextmanager
    def together(self, trial: Trial, device: "torch.device") -> Iterator[None]:
        """Have all of them at `trial` inside.

        Raises:
            RankLostError: one ended before that.
        """
        from dmlbench.compute.world import joined

        self._started, self._said = set(), {}
        self._trials += 1
        try:
            for other in self._others:
                other.start(trial)
            while len(self._started) < len(self._others):
                self._listen()
                if self._said:
                    raise RankLostError
            with joined(self.world, self._meeting_point, str(self._trials), device):
                yield
        finally:
            self._settle()

    def what_happened(self) -> str:
        """Return why a process was lost, in words."""
        if not self._said:
            return "A process of another device did not answer in the middle of the trial."
        rank, reason = min(self._said.items())
        return f"On rank {rank} of {self.world.size}: {reason}"

    def _listen(self) -> None:
        """Wait a moment; note what the others say, and who of them is gone."""
        busy = {rank: one for rank, one in enumerate(self._others, 1) if one.trial is not None}
        ready = wait([other.pipe for other in busy.values()], _LOOK_SECONDS)
        for rank, other in busy.items():
            if other.pipe in ready or other.has_died():
                event = other.next_event()
                if event.kind == "started":
                    self._started.add(rank)
                elif reason := event.record.reason if event.record else event.reason:
                    self._said[rank] = reason

    def _settle(self) -> None:
        """Wait until the others have ended the trial; if one doesn't, or died, end all of them."""
        limit = time.monotonic() + _GRACE_SECONDS
        while any(other.trial is not None for other in self._others):
            if time.monotonic() > limit:
                break
            self._listen()
        if any(other.trial is not None or other.retired for other in self._others):
            _group.cache_clear()
            end(self._others)


def group_of(trial: Trial, settings: WorkerSettings) -> Group | None:
    """Return the group that a worker leads at `trial`; None if it is not divided.

    It is started once, and lives until it loses a process, or the worker ends.
    """
    if settings.devices_per_trial == 1 or "loss" not in trial.parts:
        return None
    return _group(settings)


@lru_cache(maxsize=1)
def _group(settings: WorkerSettings) -> Group:
    return Group(settings)


def device_of_rank(settings: WorkerSettings, rank: int) -> str:
    """Return the device of a process: GPUs by their number, or the CPU that all share."""
    device = settings.device
    if settings.devices_per_trial > 1 and device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{rank}" if settings.devices_per_trial > 1 and device == "cuda" else device


def help_with(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool] = never,
) -> Event:
    """Do a share of `trial`: the task of the processes that a worker leads.

    If the trial fails here, the event holds the reason in a record, which is not written.
    """
    from dmlbench.compute.world import World, joined
    from dmlbench.executors.worker import import_the_harness, workplace_for
    from dmlbench.storage.record_store import Store
    from dmlbench.training.session import Session
    from dmlbench.trials.run_trial import run_trial

    import_the_harness()
    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    workplace = replace(workplace_for(settings), world=world)
    session = Session(Store(settings.records).checkpoint_path(trial))  # only read: none is due
    report(Event("started", trial))
    try:
        with joined(world, _meeting_point(), str(next(_numbers)), workplace.device):
            record = run_trial(trial, workplace, session=session)
    except (HelpedError, RankLostError):
        return Event("finished", trial)
    return Event("finished", trial, record=record)


@cache
def _meeting_point() -> Any:
    from dmlbench.compute.world import meeting_point

    return meeting_point(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))


_numbers = count(1)
"""Of the trials that this process has helped with."""
