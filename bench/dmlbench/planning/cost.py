"""What a run will cost, before it starts: time, memory, disk; and the order to draw trials in."""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import make
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.errors import DmlbenchError, guarded
from dmlbench.planning.measured import Measured, Row, row_of
from dmlbench.planning.timings import Scaled
from dmlbench.schemas.plan import Plan, Workload, table_name
from dmlbench.schemas.trial import Trial, canonical_json
from dmlbench.training.operations import NetworkSize, network_size

PROBED, RECORDED = "a few steps timed now", "records here"


@dataclass(frozen=True)
class Cost:
    """What the trials that are left to run will take.

    Attributes:
        trials: those to run.
        seconds: by the id of a trial: of the processor on a CPU, of the clock elsewhere. Those that
            nothing tells of are missing.
        basis: by the id of a trial, what its seconds rest on.
        once: by `place`, the seconds to load the data, and to compute frozen features first.
        memory_mib: the most that one worker will have resident; 0 if unknown.
        photo_bytes: of decoded photos, which are on the disk when a run has been planned.
        feature_bytes: of frozen features, if they have all to be computed.
    """

    trials: tuple[Trial, ...]
    seconds: Mapping[str, float]
    basis: Mapping[str, str]
    once: Mapping[str, float]
    memory_mib: float = 0.0
    photo_bytes: int = 0
    feature_bytes: int = 0

    @property
    def total(self) -> float:
        """Return the seconds of all trials that are known."""
        return sum(self.seconds.values()) + sum(self.once.values())

    def elapsed(self, slots: int) -> float:
        """Return the seconds until all are over with `slots` trials side by side."""
        drawn = [self.seconds.get(trial.id, 0.0) for trial in self.drawn(self.trials)]
        return makespan(drawn, slots) + sum(self.once.values())

    def drawn(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return `trials` in the order to draw them.

        Those that share photos or frozen features come together, as a worker holds the data of few
        tables; among them, and of such groups, the longest comes first, so that no long one is left
        over at the end. What nothing tells of may be long.
        """
        groups: dict[str, list[Trial]] = {}
        places: dict[tuple[str, str], str] = {}
        for trial in trials:
            table = table_name(trial), str(trial.parts.get("backbone"))
            if table not in places:
                places[table] = place(trial)
            groups.setdefault(places[table], []).append(trial)

        def longest_first(trial: Trial) -> float:
            return -self.seconds.get(trial.id, math.inf)

        ordered = [sorted(group, key=longest_first) for group in groups.values()]
        ordered.sort(key=lambda group: longest_first(group[0]))
        return [trial for group in ordered for trial in group]


def makespan(seconds: Iterable[float], slots: int) -> float:
    """Return when all are over that are begun in this order, as soon as one of `slots` is free.

    Example:
        >>> makespan([3.0, 2.0, 2.0], 2)
        4.0
    """
    free = [0.0] * slots
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def place(trial: Trial) -> str:
    """Return what names the photos or the frozen features that a trial reads."""
    backbone = trial.parts.get("backbone") if trial.protocol.frozen else None
    photos = PhotoFormat.of(trial.protocol)
    dataset = trial.dataset.reference, trial.dataset.settings
    return canonical_json([*dataset, repr(photos), backbone and backbone.identity()])


def estimate(
    plan: Plan,
    to_do: Iterable[Trial],
    found: Mapping[Row, Sequence[Measured]],
    scaled: Scaled,
    catalogue: Catalogue,
    probed: Mapping[Row, Measured] | None = None,
) -> Cost:
    """Return what the trials `to_do` of a plan will take.

    Records here come before what was timed now, and this before what ships.

    Args:
        plan: with the workload of each table.
        to_do: those of its trials that are to run.
        found: what records here tell of the plan's rows.
        scaled: the timings that ship.
        catalogue: for the size of networks.
        probed: what a few steps have told of some rows.
    """
    trials = tuple(to_do)
    by_row: dict[Row, list[Trial]] = {}
    for trial in trials:
        by_row.setdefault(row_of(trial), []).append(trial)
    trained = frozenset(row for row, (trial, *_) in by_row.items() if "loss" in trial.parts)
    known = _Known(plan, found, probed or {}, scaled, _Sizes(catalogue), trained)
    seconds: dict[str, float] = {}
    basis: dict[str, str] = {}
    once: dict[str, float] = {}
    features: dict[str, int] = {}
    memory = 0.0
    for row, (trial, *others) in by_row.items():
        where = place(trial)
        if told := known.seconds(row, trial):
            ids = [trial.id, *(other.id for other in others)]
            seconds |= dict.fromkeys(ids, told[0])
            basis |= dict.fromkeys(ids, told[1])
        once[where] = max(once.get(where, 0.0), known.once(row, trial))
        memory = max(memory, known.memory_mib(row, trial))
        if trial.protocol.frozen:
            features[where] = known.feature_bytes(row, trial)
    stored = _photo_bytes(plan, trials), sum(features.values())
    return Cost(trials, seconds, basis, once, memory, *stored)


@dataclass(frozen=True)
class _Known:
    """All that tells of a plan's trials; see `estimate`."""

    plan: Plan
    found: Mapping[Row, Sequence[Measured]]
    probed: Mapping[Row, Measured]
    scaled: Scaled
    sizes: "_Sizes"
    trained: frozenset[Row]

    def here(self, row: Row) -> Sequence[Measured]:
        """Return what was measured of a row on this machine, or in its output folder."""
        return self.found.get(row) or ([self.probed[row]] if row in self.probed else [])

    def seconds(self, row: Row, trial: Trial) -> tuple[float, str] | None:
        """Return the seconds of a trial, and what they rest on; None if nothing tells."""
        if here := self.here(row):
            return fmean(m.seconds for m in here), RECORDED if row in self.found else PROBED
        if row in self.trained:  # baselines have nothing in common
            timed = self.trained & self.probed.keys()
            if alike := [self.probed[other] for other in timed if other[0] == row[0]]:
                return fmean(one.seconds for one in alike), f"{PROBED} of other rows"
        workload = self.plan.workloads.get(row[0])
        return self.scaled.find(trial, workload, partial(self.sizes.gflops, trial, workload))

    def once(self, row: Row, trial: Trial) -> float:
        """Return the seconds to load a row's data, and to compute its frozen features."""
        if not trial.protocol.frozen:
            return max((one.once for one in self.here(row)), default=0.0)
        if any(other[0] == row[0] for other in self.found):
            return 0.0  # they are there
        timed = [one.once for other, one in self.probed.items() if other[0] == row[0]]
        if timed:
            return max(timed)
        workload = self.plan.workloads.get(row[0])
        return self.scaled.once(workload, self.sizes.gflops(trial, workload))

    def memory_mib(self, row: Row, trial: Trial) -> float:
        """Return the most that a worker will have resident; 0 if nothing tells."""
        here = max((one.memory_mib for one in self.here(row)), default=0.0)
        return here or self.scaled.memory_mib(trial)

    def feature_bytes(self, row: Row, trial: Trial) -> int:
        """Return the size of the features of a frozen backbone; 0 if nothing tells."""
        workload = self.plan.workloads.get(row[0])
        size = self.sizes.of(trial, workload)
        return 4 * workload.items * size.features if workload and size else 0


def _photo_bytes(plan: Plan, trials: Iterable[Trial]) -> int:
    """Return the size of the photo stores that `trials` read; tables may share one."""
    sizes = {}
    for table, trial in {table_name(trial): trial for trial in trials}.items():
        if table in plan.workloads:
            photos = trial.dataset.reference, repr(PhotoFormat.of(trial.protocol))
            sizes[photos] = plan.workloads[table].photo_bytes
    return sum(sizes.values())


class _Sizes:
    """Looks at each network once, and only if an estimate needs its size."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[str, NetworkSize | None] = {}

    def gflops(self, trial: Trial, workload: Workload | None) -> float:
        size = self.of(trial, workload)
        return size.operations / 1e9 if size else 0.0

    def of(self, trial: Trial, workload: Workload | None) -> NetworkSize | None:
        """Return the size of a trial's backbone for the items of its table; None if unknown."""
        if "backbone" not in trial.parts or workload is None or len(workload.shape) != 3:
            return None
        part = trial.parts["backbone"].located()
        key = canonical_json([part.reference, part.settings, workload.shape])
        if key not in self._known:
            self._known[key] = None
            with suppress(DmlbenchError), guarded(f"The backbone {part.reference!r}"):
                backbone = make(self._catalogue, "backbone", part.reference, part.settings)
                wanted = backbone.image_format()
                channels = wanted.channels or workload.shape[0]
                height, width = (wanted.size or side for side in workload.shape[1:])
                self._known[key] = network_size(backbone, (channels, height, width))
        return self._known[key]
