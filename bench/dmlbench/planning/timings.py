"""What trials took elsewhere: ``timings.toml``, made from the published records.

`benchmarks/make_timings.py` writes the file.
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from statistics import fmean

from dmlbench.compute.device import describe, pick_device
from dmlbench.schemas.base import Schema, read_toml
from dmlbench.schemas.plan import Workload
from dmlbench.schemas.trial import Trial


class TimedTable(Schema):
    """What the trials of one published table took, on one kind of machine."""

    dataset: str
    """As tables call it."""
    protocol: str
    backbone: str
    processor: str
    """What it ran on, with the instruction set that torch used."""
    device: str
    """``cpu``, or the name of the GPU."""
    frozen: bool
    passes: int = 0
    """Of a trained trial, see `Workload`; 0 where it is cross-validated."""
    items: int = 0
    gflops: float = 0.0
    """Operations of the backbone for one item, in billions; 0 of vectors."""
    memory_mib: float
    once: float = 0.0
    """Seconds to compute frozen features."""
    rows: dict[str, float] = {}
    """Seconds of a trial by the label of a trained row."""
    baselines: dict[str, float] = {}
    """The same of rows that train nothing."""


class Timings(Schema):
    """The file."""

    tables: list[TimedTable]


@cache
def kind_of_machine(device: str) -> tuple[str, str]:
    """Return what records call `device`, and the processor of this machine, as timings name it."""
    settings = describe(pick_device(device), "float32")
    return settings["device"], f"{settings['processor']}, {settings['cpu']}"


@cache
def shipped_timings() -> Timings:
    """Return the timings that ship with dmlbench."""
    return read_toml(Timings, files("dmlbench.planning") / "timings.toml")


_OVERHEAD = 0.01
"""Billions of operations that the fixed cost of a pass amounts to: what makes trials of small-conv
on images of 8 and of 20 pixels, 0.0005 and 0.007 billion, take as long as they do."""


def work(passes: int, gflops: float) -> float:
    """Return what a trained trial is compared by: its operations, with the fixed cost of each."""
    return passes * (gflops + _OVERHEAD)


class Scaled:
    """Timings for a trial that was measured elsewhere, or that is like one that was.

    Args:
        device: ``cpu``, or the name of the GPU.
        processor: of this machine; its own timings come before those of others.
    """

    def __init__(self, device: str, processor: str) -> None:
        tables = [table for table in shipped_timings().tables if table.device == device]
        self.tables = sorted(tables, key=lambda table: table.processor != processor)

    def find(
        self, trial: Trial, workload: Workload | None, gflops: Callable[[], float]
    ) -> tuple[float, str] | None:
        """Return the seconds of a trial, and on what they rest; None if nothing tells.

        Args:
            trial: which.
            workload: of its table.
            gflops: returns the billions of operations of its backbone for one item; 0 if unknown.
        """
        return next(self._found(trial, workload, gflops), None)

    def _found(
        self, trial: Trial, workload: Workload | None, gflops: Callable[[], float]
    ) -> Iterator[tuple[float, str]]:
        label, protocol = trial.label, trial.protocol
        name = getattr(trial.parts.get("backbone"), "name", None)
        kind = "rows" if "loss" in trial.parts else "baselines"
        same_set = [table for table in self.tables if table.dataset == str(trial.dataset)]
        for table in same_set:
            seconds = getattr(table, kind).get(label)
            same = table.protocol == protocol.name and name in (None, table.backbone)
            if same and seconds is not None:
                yield seconds, f"the same rows on {table.processor}"
        if kind == "baselines" or workload is None:
            return  # what a baseline takes has nothing to do with another one
        alike = [t for t in self.tables if t.frozen == workload.frozen and t.rows and t.passes]
        operations = 0.0 if workload.frozen else gflops()
        if not workload.frozen:
            alike = [table for table in alike if table.gflops and operations]
        for table in sorted(alike, key=lambda t: (t.backbone != name, t not in same_set)):
            same_net = workload.frozen or table.backbone == name
            scale = workload.passes / table.passes
            if not workload.frozen:
                scale = work(workload.passes, operations) / work(table.passes, table.gflops)
            seconds = table.rows.get(label, fmean(table.rows.values()))
            like = "the same losses" if label in table.rows else "other losses"
            how = "by images" if same_net else f"by the operations of {table.backbone}"
            yield scale * seconds, f"{like} on {table.dataset} and {table.processor}, {how}"

    def once(self, workload: Workload | None, gflops: float) -> float:
        """Return the seconds to compute the features of a frozen backbone; 0 if nothing tells."""
        for table in self.tables:
            if table.frozen and table.once and table.gflops and workload:
                return table.once * work(workload.items, gflops) / work(table.items, table.gflops)
        return 0.0

    def memory_mib(self, trial: Trial) -> float:
        """Return the most memory that a process had in such trials; 0 if unknown."""
        backbone = getattr(trial.parts.get("backbone"), "name", trial.protocol.backbone)
        alike = [t for t in self.tables if t.backbone == backbone]
        same = [table for table in alike if table.dataset == str(trial.dataset)]
        return max((table.memory_mib for table in same or alike), default=0.0)
