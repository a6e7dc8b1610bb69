"""Where trials run: what an executor implements, what it is handed, and what it reports.

An executor is registered by an entry point of its package, as every component::

    [project.entry-points."dmlbench.executors"]
    my-cluster = "my_package:MyCluster"

Its options are the keyword arguments of ``__init__``; ``--set executor.partition=gpu`` sets one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Trial


@dataclass(frozen=True)
class Doing:
    """What a trial is doing.

    Attributes:
        phase: ``loading``, ``decoding``, ``features``, ``training``, ``validation`` or ``test``.
        done: how many units of it are over.
        total: of how many; 0 where nothing is counted.
        unit: such as ``steps``.

    Example:
        >>> str(Doing("training", 340, 3000, "steps")), str(Doing("test"))
        ('training 340 of 3,000 steps', 'test')
    """

    phase: str
    done: int = 0
    total: int = 0
    unit: str = ""

    def __str__(self) -> str:
        counted = f" {self.done:,} of {self.total:,} {self.unit}" if self.total else ""
        return f"{self.phase}{counted}".rstrip()


@dataclass(frozen=True)
class Event:
    """Something that happened to a trial: ``started``, an ``epoch`` each, then ``finished``.

    In between, ``doing`` says what it is at, about once a second. An executor passes it on as it
    does an ``epoch``; without it the trial is the same, and a user sees less.

    A trial that ends without a record, because its worker died or it was cancelled, is ``lost``
    instead of ``finished``. The harness writes a failed record for it. ``finished`` alone, without
    a record, says that another run is at the trial, or was faster: the harness waits for that. One
    that was asked to stop ends as ``stopped``: it has no record, and goes on from its checkpoint
    when it is run again. One whose machine went away, which is no fault of the trial's, is
    ``interrupted``: the harness takes its claim back, and gives it to the executor once more.
    """

    kind: Literal["started", "epoch", "finished", "lost", "stopped", "interrupted", "doing"]
    trial: Trial
    epoch: Epoch | None = None
    record: Record | None = None
    """Of a finished trial, whether it succeeded or failed."""
    reason: str = ""
    """Why the trial was lost or interrupted."""
    worker_broken: bool = False
    """With ``finished``: the process must run no other trial, so replace it. Its device works no
    more, or the trial left it changed, see `Record.left_changed`."""
    doing: Doing | None = None

    @property
    def is_last(self) -> bool:
        """Return whether no other event of the trial follows."""
        return self.kind not in ("started", "epoch", "doing")


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know; small enough to be sent to each."""

    records: Path
    """Folder that records are written to. This and the other folders are made absolute."""
    data_dir: Path | None = None
    device: str = "auto"
    """Of the run. An executor that has more than one gives each worker its own."""
    cache_dir: Path | None = None
    keep_embeddings: bool = False
    """Whether the test embeddings are written beside each record."""
    metrics: tuple[str, ...] = ()
    """Names of metrics to compute besides those of every trial of retrieval."""
    run: str = ""
    """Name of the run, whose workers claim their trials; empty if trials are not claimed."""
    checkpoint_seconds: float = math.inf
    """From one checkpoint of a trial to the next, besides the one that is written at a stop."""
    chunk: int | None = None
    """Most images that pass through a network at a time in training; None: a batch."""
    devices_per_trial: int = 1
    """How many processes train a network together, each on a device of its own."""

    def __post_init__(self) -> None:
        for name in ("records", "data_dir", "cache_dir"):  # a plugin may change the directory
            if (folder := getattr(self, name)) is not None:
                object.__setattr__(self, name, folder.absolute())


def never() -> bool:
    """Return that nobody asks a trial to stop."""
    return False


class Task(Protocol):
    """What a worker does with a trial: ``task(trial, settings, report)``.

    It claims the trial, so that no other run takes it as well, passes ``started``, each ``epoch``
    and what it is ``doing`` to `report` as they happen, writes the record, and returns the event
    ``finished``. The claim ends with the process, if not before. It returns ``lost`` if it led
    other processes, for `WorkerSettings.devices_per_trial`, and lost one. `report` may raise
    `TrialEnded` to end the trial, which passes through; what plugins raise is told in the record.
    It is a function that pickles by name. A process runs one trial at a time, in its main thread,
    because random states and torch's settings belong to the process.
    """

    def __call__(
        self,
        trial: Trial,
        settings: WorkerSettings,
        report: Callable[[Event], None],
        stop: Callable[[], bool] = never,
    ) -> Event:
        """Run `trial`.

        Args:
            trial: what to run.
            settings: of the worker.
            report: called with what happens.
            stop: asked after each step of training. Once it returns true, the trial is saved and
                the task returns the event ``stopped``. A worker that is told to go away by a signal
                (pre-emption) passes ``flag.is_set`` of a `threading.Event` that its handler sets.
        """


class Executor(ABC):
    """Decides where and when trials run. It never looks into one.

    An instance may run again after its last run has ended. `stop` and `cancel` may be called at any
    time, from another thread or a signal handler, so they set a flag that `run` looks at.
    """

    @abstractmethod
    def run(self, task: Task, trials: Iterator[Trial], settings: WorkerSettings) -> Iterator[Event]:
        """Yield what happens to each trial, as it happens. Write it as a generator.

        Draw a trial only when there is a free slot for it: what comes next may depend on the
        results so far. When the generator is closed, end the trials under way at once.

        Args:
            task: see `Task`; call it in a process of the worker's.
            trials: what to run, in this order. It may be exhausted for a while, when all that are
                left are under way in other runs: asking it again whenever a slot is free finds out
                early that one was given up. A run may end without that. It may say by
                `operator.length_hint` how many are left.
            settings: passed to `task`.
        """

    @abstractmethod
    def stop(self, grace: float) -> None:
        """Make `run` draw no more trials, and end it within about `grace` seconds.

        Trials under way are asked to stop (see `Task`); what they report in time is yielded as
        usual. The others are ended without an event: the next run goes on from their last
        checkpoint.
        """

    @abstractmethod
    def cancel(self, trial: Trial) -> None:
        """End `trial`, which `run` then reports as lost with the reason ``cancelled``."""

    def trials_at_once(self, settings: WorkerSettings) -> int | None:
        """Return how many trials run side by side; None if that is not known beforehand."""
        return None

    def where(self, settings: WorkerSettings) -> str:
        """Return where trials run, as the first lines of a run say it: ``2 worker processes``."""
        return f"executor {type(self).__name__}"

    def describe(self, settings: WorkerSettings, trials: int) -> str:
        """Return what a dry run shows of how trials are started, such as a script for a cluster.

        Args:
            settings: as `run` gets them.
            trials: how many are to run.

        Raises:
            ConfigError: they can't be run with `settings`.
        """
        return ""
