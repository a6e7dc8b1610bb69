"""Which rows of a ranking can't be told from the best, and how a table says so."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from dmlbench.counted import counted
from dmlbench.leaderboard.metric_names import display_name, percent, points
from dmlbench.leaderboard.neighbours import Neighbours, compare_neighbours
from dmlbench.leaderboard.rows import Row
from dmlbench.statistics import LEAST_SEEDS, Comparison, Estimate, compare, paired_difference

BEST, WORSE, UNKNOWN = "best", "worse", ""
"""What a row is called: can't be told from the best, worse than it, or not compared."""

AGAINST_BEST = "From the best"
"""Heading of the column that says it in words."""


@dataclass(frozen=True)
class Ranking:
    """Trained rows of one lane, compared on the seeds that they have in common."""

    metric: str
    seeds: tuple[int, ...]
    groups: Mapping[str, str]
    """What each row is called, by the row's id."""
    behind: Mapping[str, Estimate]
    """How far each compared row is behind the highest mean, by id."""
    detectable: float | None
    """The difference of means from which two typical rows of the group are told apart."""
    left_out: tuple[str, ...] = ()
    """Labels of the rows that lack some of the seeds."""
    unfit: str = ""
    """Why this lane cannot rank losses, in a sentence; empty if it can."""
    neighbours: Neighbours | None = None
    """How many rows can't be told from the next; None where no row is called worse."""

    @property
    def decided(self) -> bool:
        """Return whether there are enough seeds and rows to call any row worse."""
        return any(self.groups.values())

    def group(self, row: Row) -> str:
        """Return what `row` is called: ``best``, ``worse`` or nothing."""
        return self.groups.get(row.id, UNKNOWN)

    def mark(self, row: Row) -> str:
        """Return what the column *Group* shows: ``best``, nothing, or that it isn't compared."""
        return {BEST: BEST, WORSE: "", UNKNOWN: "–"}[self.group(row)]

    def words(self, row: Row) -> str:
        """Return what the column `AGAINST_BEST` says of a row."""
        best = "the best" if self._kept == 1 else "can't be told"
        return {BEST: best, WORSE: "worse", UNKNOWN: "not compared"}[self.group(row)]

    def sentences(self) -> list[str]:
        """Return what follows from the comparison and how it was made, in sentences."""
        return [*self.verdicts(), *self.method()]

    def verdicts(self) -> list[str]:
        """Return which rows can't be told from the best or from their neighbours, or why not."""
        if self.unfit:
            return [self.unfit]
        if self.decided:
            return [self._best(), *(self.neighbours.sentences() if self.neighbours else [])]
        if len(self.seeds) < LEAST_SEEDS and len(self.groups) > 1:
            return [
                f"No row is called better than another: that takes {LEAST_SEEDS} seeds that the "
                f"rows have in common, and here {'is' if len(self.seeds) == 1 else 'are'} "
                f"{len(self.seeds)}."
            ]
        return []

    def method(self) -> list[str]:
        """Return how the rows were compared, and which were left out, if any were compared."""
        if not self.decided:
            return []
        left_out = ", ".join(self.left_out)
        return [
            f"The {len(self.behind)} rows are compared on {len(self.seeds)} seeds as blocks, all "
            "pairs at once, and again without those found worse until none is (a model confidence "
            "set, by Tukey's range), so that in at most 5 of 100 tables a row as good as the best "
            f"is called worse. {self._least()}",
            *([f"Not compared, as seeds are missing: {left_out}."] if left_out else []),
        ]

    @property
    def _kept(self) -> int:
        """Return how many rows can't be told from the best, which is one of them."""
        return list(self.groups.values()).count(BEST)

    def _best(self) -> str:
        rows, kept = len(self.behind), self._kept
        if kept == 1:
            return f"By {self.name}, the best of {rows} rows stands alone: the others are worse."
        if kept == rows:
            return f"By {self.name}, none of {rows} rows can be told from the best."
        return (
            f"By {self.name}, {kept} of {rows} rows can't be told from the best; the other "
            f"{'is' if rows - kept == 1 else f'{rows - kept} are'} worse."
        )

    def _least(self) -> str:
        if self.detectable is None:
            return (
                "In the last round, all rows differ by the same step at every seed: that many "
                "seeds can't tell them apart."
            )
        return (
            "In the last round, two rows of ordinary noise are told apart from a difference of "
            f"{points(self.detectable)} points."
        )

    @property
    def name(self) -> str:
        """Return what tables call the metric."""
        return display_name(self.metric)


def rank_rows(rows: Sequence[Row], metric: str, to_beat: Sequence[Row] | None = None) -> Ranking:
    """Return `rows` (trained, of one backbone) compared with the best of them by `metric`.

    They are compared on the finished seeds that most of them share; a row that lacks one of those
    is left out: without that seed, another row could be best on luckier ones.

    Args:
        rows: the trained rows, best mean first.
        metric: what they are compared by.
        to_beat: baselines that start from the same features. Where they are given, rows are ranked
            only if the best of these is told apart from the best row: trained rows and baselines
            are one model confidence set, so that at most 5 of 100 lanes in which no loss adds
            anything are ranked.
    """
    values = {row.id: by_seed(row, metric) for row in (*rows, *(to_beat or ()))}
    seeds = most_common_seeds([values[row.id] for row in rows])
    compared = [row for row in rows if seeds and set(seeds) <= values[row.id].keys()]
    left_out = tuple(row.label for row in rows if row not in compared)
    groups = {row.id: UNKNOWN for row in rows}
    if not compared:
        return Ranking(metric, seeds, groups, {}, None, left_out)

    def blocks(some: Sequence[Row]) -> Comparison:
        return compare(np.array([[values[row.id][seed] for seed in seeds] for row in some]))

    if to_beat is not None and len(seeds) >= LEAST_SEEDS:
        baselines = [row for row in to_beat if set(seeds) <= values[row.id].keys()]
        best = max(baselines, key=lambda row: sum(values[row.id][s] for s in seeds), default=None)
        together = [*compared, *baselines]
        if best is None or not blocks(together).worse[together.index(best)]:
            why = _unfit(metric, compared, baselines, best, len(seeds))
            return Ranking(metric, seeds, groups, {}, None, left_out, why)
    found = blocks(compared)
    beside = None
    if len(seeds) >= LEAST_SEEDS and len(compared) > 1:
        beside = compare_neighbours([[values[row.id][s] for s in seeds] for row in compared])
        for row, worse in zip(compared, found.worse, strict=True):
            groups[row.id] = WORSE if worse else BEST
    ids = [row.id for row in compared]
    behind = dict(zip(ids, found.behind, strict=True))
    return Ranking(metric, seeds, groups, behind, found.detectable, left_out, neighbours=beside)


def _unfit(
    metric: str, rows: Sequence[Row], baselines: Sequence[Row], best: Row | None, seeds: int
) -> str:
    """Return why a lane cannot rank losses."""
    if best is None:
        return (
            "This lane ranks no losses: none of the baselines on the same features has finished "
            "with the same seeds, so nobody can say whether a loss adds anything."
        )
    return (
        f"This lane cannot rank losses: by {display_name(metric)}, no trained row is shown to be "
        f"better than the best baseline, {best.label} ({percent(best.metrics[metric])} %). The "
        f"{counted(len(rows), 'trained row')} and {counted(len(baselines), 'baseline')} are "
        f"compared on {seeds} seeds as blocks, all pairs at once (a model confidence set, by "
        "Tukey's range). So no row is in a group, and the order of the means is no claim."
    )


def over_floor(row: Row, floor: Row, metric: str) -> Estimate | None:
    """Return how far `row` is above `floor`, paired by seed; None without a common seed."""
    return paired_difference(by_seed(row, metric), by_seed(floor, metric))


def by_seed(row: Row, metric: str) -> dict[int, float]:
    """Return the finite values of the finished seeds."""
    return {
        record.trial.seed: record.metrics[metric]
        for record in row.finished
        if isfinite(record.metrics.get(metric, float("nan")))
    }


def most_common_seeds(values: Sequence[Mapping[int, float]]) -> tuple[int, ...]:
    """Return the set of seeds that most rows have; ties go to the largest, then the lowest set."""
    counts = Counter(tuple(sorted(value)) for value in values if value)
    if not counts:
        return ()
    return min(counts, key=lambda seeds: (-counts[seeds], -len(seeds), seeds))
