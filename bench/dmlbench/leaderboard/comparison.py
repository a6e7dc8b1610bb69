"""Which rows of one ranking can't be told from the best, and in which words a table says so."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from dmlbench.leaderboard.metrics import display_name
from dmlbench.leaderboard.rows import Row
from dmlbench.statistics import LEAST_SEEDS, Estimate, compare, paired_difference

BEST, WORSE, UNKNOWN = "best", "worse", ""
"""What a row is called: can't be told from the best, worse than it, or not compared."""


@dataclass(frozen=True)
class Ranking:
    """Trained rows of one lane, compared on the seeds that they have in common."""

    metric: str
    seeds: tuple[int, ...]
    groups: Mapping[str, str]
    """What each row is called, by the row's id."""
    behind: Mapping[str, Estimate]
    """By how much each compared row is behind the highest mean, by id."""
    detectable: float | None
    """From which difference of their means two rows of the group are told apart, as a rule."""
    left_out: tuple[str, ...] = ()
    """Labels of the rows that lack some of the seeds."""

    @property
    def decided(self) -> bool:
        """Return whether there are seeds and rows enough to call any row worse."""
        return self.detectable is not None

    def group(self, row: Row) -> str:
        """Return what `row` is called: ``best``, ``worse`` or nothing."""
        return self.groups.get(row.id, UNKNOWN)

    def mark(self, row: Row) -> str:
        """Return what the column *Group* shows: ``best``, nothing, or that it isn't compared."""
        return {BEST: BEST, WORSE: "", UNKNOWN: "–"}[self.group(row)]

    def sentences(self) -> list[str]:
        """Return how the rows were compared and what that can tell, for people."""
        texts = []
        rows, seeds = len(self.behind), len(self.seeds)
        if self.detectable is not None:
            texts.append(
                f"Group: a row marked {BEST} can't be told from the best by {self.name}; one "
                f"without a mark is worse. The {rows} rows are compared on {seeds} seeds as "
                "blocks, all pairs at once, and again without those found worse until none is (a "
                "model confidence set, by Tukey's range), so that in at most 5 of 100 tables a row "
                "as good as the best is called worse. In the last round, two rows of ordinary "
                f"noise are told apart from a difference of {100 * self.detectable:.2f} points."
            )
        elif seeds < LEAST_SEEDS and len(self.groups) > 1:
            texts.append(
                f"No row is called better than another: that takes {LEAST_SEEDS} seeds that the "
                f"rows have in common, and here are {seeds}."
            )
        if self.left_out and self.decided:
            texts.append(f"Not compared, as seeds are missing: {', '.join(self.left_out)}.")
        return texts

    @property
    def name(self) -> str:
        """Return what tables call the metric."""
        return display_name(self.metric)


def rank(rows: Sequence[Row], metric: str) -> Ranking:
    """Return `rows` (trained, of one backbone) compared with the best of them by `metric`.

    They are compared on the finished seeds that most of them share; a row that lacks one of those
    is left out, since without it another row could be the best of luckier seeds.
    """
    values = {row.id: by_seed(row, metric) for row in rows}
    seeds = _most_common(list(values.values()))
    compared = [row for row in rows if seeds and set(seeds) <= values[row.id].keys()]
    left_out = tuple(row.label for row in rows if row not in compared)
    groups = dict.fromkeys(values, UNKNOWN)
    if not compared:
        return Ranking(metric, seeds, groups, {}, None, left_out)
    found = compare(np.array([[values[row.id][seed] for seed in seeds] for row in compared]))
    if found.detectable is not None:
        for row, worse in zip(compared, found.worse, strict=True):
            groups[row.id] = WORSE if worse else BEST
    ids = [row.id for row in compared]
    behind = dict(zip(ids, found.behind, strict=True))
    return Ranking(metric, seeds, groups, behind, found.detectable, left_out)


def over_floor(row: Row, floor: Row, metric: str) -> Estimate | None:
    """Return by how much `row` is above `floor`, seed by seed, or None without a common seed."""
    return paired_difference(by_seed(row, metric), by_seed(floor, metric))


def by_seed(row: Row, metric: str) -> dict[int, float]:
    """Return the finite values of the finished seeds."""
    return {
        record.trial.seed: record.metrics[metric]
        for record in row.finished
        if isfinite(record.metrics.get(metric, float("nan")))
    }


def _most_common(values: Sequence[Mapping[int, float]]) -> tuple[int, ...]:
    """Return the seeds that most rows have; of several such sets the largest, then the lowest."""
    counts = Counter(tuple(sorted(value)) for value in values if value)
    if not counts:
        return ()
    return min(counts, key=lambda seeds: (-counts[seeds], -len(seeds), seeds))
