"""What a ranking is worth for other test classes than those of the dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlbench.counted import counted
from dmlbench.errors import DataError
from dmlbench.leaderboard.metric_names import points
from dmlbench.leaderboard.ranking import BEST, WORSE, Ranking, by_seed
from dmlbench.leaderboard.rows import Row
from dmlbench.retrieval.metrics import find_metric
from dmlbench.schemas.record import Array, Record
from dmlbench.statistics import (
    LEAST_CLASSES,
    LEAST_SEEDS,
    Estimate,
    class_noise,
    compare,
    paired_difference,
    two_way_half_width,
)

_FLOAT32 = 1e-5
"""Results are kept by query in single precision, so their mean is the metric's up to this."""


@dataclass(frozen=True)
class TopTwo:
    """The difference of the two highest means."""

    first: str
    second: str
    new_seeds: Estimate
    """With its interval for new seeds on these classes."""
    half_width: float
    """Of its interval for new seeds and new classes."""


@dataclass(frozen=True)
class NewClasses:
    """The rows of a ranking, compared for new seeds and new classes."""

    absent: str = ""
    """Why there are no figures, in a sentence; empty if there are."""
    classes: int = 0
    half_widths: Mapping[str, float] = field(default_factory=dict)
    """Test-class noise of each row's mean, by id: half its 95 % interval with the seeds held."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """What each row is called in a claim about new seeds and classes, by id."""
    behind: Mapping[str, Estimate] = field(default_factory=dict)
    """By how much it is behind the highest mean, and what chance explains then, by id."""
    detectable: float | None = None
    """The least difference of two rows of ordinary noise that can be told then."""
    top: TopTwo | None = None

    def sentences(self, ranking: Ranking) -> list[str]:
        """Return what test-class noise does to `ranking`, for people."""
        if self.absent:
            return [f"{self.absent} So nothing here is a claim about other classes."]
        if self.top is None or self.detectable is None or ranking.detectable is None:
            return []
        kept, then = (
            sum(group == BEST for group in groups.values())
            for groups in (ranking.groups, self.groups)
        )
        top = self.top
        return [
            "Test-class noise: all this holds for these test classes. The difference between "
            f"{top.first} and {top.second} is {points(top.new_seeds.mean)} points, {_for_new(top)}"
            f"± {points(top.half_width)} for new seeds and new classes (95 %; seeds and "
            f"{self.classes} test classes resampled). In a claim about other classes, "
            f"{counted(then, 'row')} can't be told from the best (here: {kept}), and two rows of "
            f"ordinary noise are told apart from a difference of {points(self.detectable)} points."
        ]


def _for_new(top: TopTwo) -> str:
    width = top.new_seeds.half_width
    return "" if width is None else f"± {points(width)} for new seeds and "


def for_new_classes(rows: Sequence[Row], ranking: Ranking) -> NewClasses | None:
    """Return what the ranking of `rows` is worth for new classes; None where it claims nothing."""
    compared = [row for row in rows if row.id in ranking.behind]
    if len(compared) < 2 or len(ranking.seeds) < LEAST_SEEDS:
        return None
    try:
        totals, counts = _sums(compared, ranking)
    except DataError as error:
        return NewClasses(absent=str(error))
    noise = class_noise(totals, counts)
    values = totals.sum(axis=2) / counts.sum()
    found = compare(values, noise.variances)
    ids = [row.id for row in compared]
    return NewClasses(
        classes=len(counts),
        half_widths=dict(zip(ids, noise.half_widths.tolist(), strict=True)),
        groups={i: WORSE if worse else BEST for i, worse in zip(ids, found.worse, strict=True)},
        behind=dict(zip(ids, found.behind, strict=True)),
        detectable=found.detectable,
        top=_top_two(compared, totals, counts, ranking),
    )


def _top_two(
    rows: Sequence[Row], totals: NDArray[Any], counts: NDArray[Any], ranking: Ranking
) -> TopTwo | None:
    order = np.argsort(-totals.sum(axis=(1, 2)), kind="stable")[:2]
    first, second = (rows[place] for place in order)
    values = [by_seed(row, ranking.metric) for row in (first, second)]
    ours, theirs = ({seed: value[seed] for seed in ranking.seeds} for value in values)
    new_seeds = paired_difference(ours, theirs)
    half_width = two_way_half_width(totals[order[0]] - totals[order[1]], counts)
    if new_seeds is None or half_width is None:
        return None
    return TopTwo(first.label, second.label, new_seeds, half_width)


def _sums(rows: Sequence[Row], ranking: Ranking) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the metric's sums ``[K, n, C]`` and the queries ``[C]`` of each class.

    Raises:
        DataError: records lack something, don't fit each other, or there are too few classes.
    """
    sums: list[list[NDArray[Any]]] = []
    counts: NDArray[Any] | None = None
    for row in rows:
        by_number = {record.trial.seed: record for record in row.finished}
        sums.append([])
        for seed in ranking.seeds:
            total, own = _of_record(by_number[seed], ranking.metric)
            if counts is None:
                counts = own
            if not np.array_equal(counts, own):
                raise DataError(
                    "Test-class noise is not given: the records are not of the same test items."
                )
            sums[-1].append(total)
    kept = np.zeros(0, dtype=bool) if counts is None else counts > 0
    if counts is None or kept.sum() < LEAST_CLASSES:
        raise DataError(
            f"Test-class noise is withheld: it takes {LEAST_CLASSES} test classes, and there are "
            f"{kept.sum()}."
        )
    return np.array(sums)[:, :, kept], counts[kept]


def _of_record(record: Record, metric: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the sums of the metric and the queries of each class ``[C]``, lone ones left out."""
    known = find_metric(metric)
    if known is None or not {"class", *known.needs} <= record.per_query.keys():
        raise DataError(
            "Test-class noise is not given: not all records say the class of each test item."
        )
    queries = _queries(record.per_query["class"], record.per_query.get("relevant"))
    arrays = {name: record.per_query[name].unpack() for name in known.needs}
    if queries is not None and all(len(a) == len(queries.scored) for a in arrays.values()):
        classes, counts = queries.classes, queries.counts
        values = known.by_query({name: array[queries.scored] for name, array in arrays.items()})
        total = np.bincount(classes, values, minlength=len(counts))
        if abs(total.sum() / counts.sum() - record.metrics[metric]) < _FLOAT32:
            return total, counts
    raise DataError(
        f"Test-class noise is not given: the results by query of {record.id} do not fit its "
        "figures."
    )


@dataclass(frozen=True)
class _Queries:
    scored: NDArray[Any]
    """Whether a query has anything to find ``[Q]``."""
    classes: NDArray[Any]
    """Of those that have."""
    counts: NDArray[Any]
    """Of those that have, by class ``[C]``."""


@lru_cache(maxsize=16)
def _queries(class_array: Array, relevant_array: Array | None) -> _Queries | None:
    """Return what all records of a table share; None if the arrays do not fit each other."""
    classes = class_array.unpack()
    scored = np.ones(len(classes), dtype=bool)
    if relevant_array is not None:
        scored = relevant_array.unpack() > 0
    if classes.dtype.kind not in "iu" or len(scored) != len(classes) or not scored.any():
        return None
    if not 0 <= classes.min() <= classes.max() < len(classes):
        return None
    counts = np.bincount(classes[scored], minlength=int(classes.max()) + 1)
    return _Queries(scored, classes[scored], counts)
