"""Exact ranks from the values of positives and of the negatives that may precede them.

Sorted bands decide almost everything. Where a negative lies within the band of a positive, both are
compared by differences in float64: see `rounding`.

The j-th best positive has rank d or better only if it is not clearly behind the (d - j + 1)-th best
negative. So comparing two sorted rows once leaves the positives that can matter.
"""

from dataclasses import dataclass

import numpy as np

from dmlbench.retrieval.engine.positives import Positives, reach
from dmlbench.retrieval.engine.rounding import number_in
from dmlbench.retrieval.engine.task import Figures, Task

ITEM_BITS = 29
"""Of the tags of negatives: float32 numbers leave so many free."""
_SHORT = 48
_MOST_COMPARED = 2**22


@dataclass(frozen=True)
class Negatives:
    """What was found of some queries' negatives."""

    value: np.ndarray
    """Values ``[b, K]``, tagged by gallery position, sorted, padded with -inf: all that lie
    above the lower end of some positive's band, or the best, of which `depth` rank ahead."""
    ahead: np.ndarray
    """Negatives that were only counted, all ahead of the best positive ``[b]``."""
    slack: np.ndarray
    """Bounds on the errors of the values, but for their tags ``[b]``."""


def settle(
    task: Task,
    queries: np.ndarray,
    positives: Positives,
    negatives: Negatives,
    counted: np.ndarray,
    figures: Figures,
) -> None:
    """Write the figures of `queries`.

    Args:
        task: what to measure.
        queries: which ``[b]``.
        positives: all of theirs.
        negatives: theirs.
        counted: whether `depth` negatives rank ahead of the best positive, so that only this one's
            rank is asked for, and its list ends where its band ends ``[b]``.
        figures: to write to.
    """
    relevant = task.layout.relevant[queries]
    scored = relevant > 0
    depth = task.items if task.whole_ranking else min(int(task.depth[queries].max()), task.items)
    near = reach(task, queries, positives, negatives.slack)
    upper = positives.value + near[:, None]
    asked = _asked(upper, negatives.value, depth, relevant)
    asked = np.where(counted, np.minimum(asked, 1), asked)
    row, place = places(asked)
    column = positives.value.shape[1] - place
    upper = upper[row, column]
    first = _below(negatives.value, row, upper - 2 * near[row])
    total = negatives.value.shape[1]
    before = total - first
    tied = np.zeros(len(queries), np.int64)
    within = np.flatnonzero(first < total)
    nearest = negatives.value[row[within], first[within]]
    unsettled = within[nearest < upper[within]]
    if len(unsettled):
        _compare(
            task,
            queries,
            positives,
            negatives.value,
            (
                row[unsettled],
                column[unsettled],
                first[unsettled],
                _below(negatives.value, row[unsettled], upper[unsettled]),
            ),
            before,
            unsettled,
            tied,
        )
        if (np.diff(before) < 0)[np.diff(row) == 0].any():  # positives that products misplaced
            before = before[np.lexsort((before, row))]
    rank = place + before
    best = np.cumsum(asked) - asked
    figures.best_rank[queries[scored]] = (rank[best[scored]] + negatives.ahead[scored]).astype(int)
    figures.ties[queries[scored]] = tied[scored]
    write(task, queries, row, place, np.where(counted[row], task.items + 1, rank), figures)


def rank_all_alike(task: Task) -> Figures:
    """Return the figures where everything ties: every negative ranks ahead of every positive."""
    figures, layout = Figures.zeros(task), task.layout
    scored = np.flatnonzero(layout.relevant > 0)
    step = max(1, _MOST_COMPARED // int(layout.relevant.max()))
    for first in range(0, len(scored), step):
        queries = scored[first : first + step]
        relevant = layout.relevant[queries]
        negatives = task.items - (layout.own_position[queries] >= 0) - relevant
        row, place = places(relevant)
        write(task, queries, row, place, place + negatives[row], figures)
        figures.best_rank[queries] = negatives + 1
        figures.ties[queries] = negatives
    return figures


def _asked(upper: np.ndarray, negative: np.ndarray, depth: int, relevant: np.ndarray) -> np.ndarray:
    """Return how many of each query's best positives may rank within `depth`; 1 at least.

    Args:
        upper: upper ends of the bands of its positives, ascending ``[b, P]``.
        negative: its negatives, ascending ``[b, K]``.
        depth: the largest of the block.
        relevant: R ``[b]``.
    """
    width, kept = upper.shape[1], negative.shape[1]
    may = np.arange(1, width + 1) <= relevant[:, None]
    # The j-th best positive is out if the (depth - j + 1)-th best negative is clearly ahead of it;
    # where fewer negatives are listed, it is not.
    first = max(1, depth - kept + 1)  # the first j with such a negative
    last = min(width, depth)
    if first <= last:
        rival = negative[:, kept - 1 - depth + first : kept - depth + last]
        may[:, first - 1 : last] &= rival < upper[:, width - last : width - first + 1][:, ::-1]
    may[:, last:] = False
    asked: np.ndarray = np.maximum(may.sum(axis=1), relevant > 0)
    return asked


def places(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the place, from 1, of each of `counts` entries, row by row."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - (np.cumsum(counts) - counts)[row] + 1


def _below(sorted_rows: np.ndarray, row: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return how many entries of its row lie below each value; `row` ascends."""
    if sorted_rows.shape[1] <= _SHORT:
        step = _MOST_COMPARED // max(1, sorted_rows.shape[1])
        parts = [
            (sorted_rows[row[start : start + step]] < value[start : start + step, None]).sum(axis=1)
            for start in range(0, len(row), step)
        ]
        return np.concatenate([np.empty(0, np.int64), *parts])
    edges = np.searchsorted(row, np.arange(len(sorted_rows) + 1)).tolist()
    parts = [
        entries.searchsorted(value[start:end])
        for entries, start, end in zip(sorted_rows, edges, edges[1:], strict=False)
    ]
    return np.concatenate(parts)


def _compare(
    task: Task,
    queries: np.ndarray,
    positives: Positives,
    negative: np.ndarray,
    open_: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    before: np.ndarray,
    unsettled: np.ndarray,
    tied: np.ndarray,
) -> None:
    """Settle what is open by differences: set `before` of `unsettled`, and `tied` of best ones.

    Args:
        task: what to measure.
        queries: which ``[b]``.
        positives: theirs.
        negative: values of theirs, sorted.
        open_: row, column, and the entries of the row from first to last that lie in its band, of
            each positive that is unsettled, row by row.
        before: how many negatives rank ahead of each positive, to be set.
        unsettled: which of these.
        tied: negatives tied with each query's best positive, to be set.

    Negatives in overlapping bands form a run: all of one run are compared with all its positives.
    """
    row, column, first, last = open_
    rows, width = negative.shape
    edges = np.bincount(row * (width + 1) + first, minlength=rows * (width + 1))
    edges -= np.bincount(row * (width + 1) + last, minlength=rows * (width + 1))
    chosen = np.flatnonzero(np.cumsum(edges))  # each row's edges add up to 0
    entry_row = chosen // (width + 1)
    first_of_run = np.diff(chosen, prepend=-2) > 1
    run = np.cumsum(first_of_run) - 1
    our_run = run[np.searchsorted(chosen, row * (width + 1) + first)]
    through = np.append(np.flatnonzero(first_of_run)[1:], len(chosen))  # entries up to a run's end
    end = chosen[through - 1] % (width + 1) + 1

    comparison = task.comparison
    items = number_in(negative.ravel()[chosen - entry_row], ITEM_BITS)
    theirs = comparison.exact(queries[entry_row], items)
    start_of_class = task.layout.class_start[task.layout.query_class[queries]]
    places = number_in(positives.value[row, column], positives.bits)
    ours = comparison.exact(queries[row], start_of_class[row] + places)
    high = theirs.value + theirs.rounding
    least = ours.value - ours.rounding - comparison.tolerance

    # Among entries and positives of one run in one order, with entries after positives they equal.
    is_entry = np.repeat([True, False], [len(high), len(least)])
    order = np.lexsort((is_entry, np.r_[high, least], np.r_[run, our_run]))
    below = np.empty(len(order), np.int64)
    below[order] = np.cumsum(is_entry[order])
    before[unsettled] = width - end[our_run] + through[our_run] - below[len(high) :]

    of_best = np.flatnonzero(column == positives.value.shape[1] - 1)
    least_of_best, most_of_best = np.full((2, rows), np.nan)
    least_of_best[row[of_best]] = least[of_best]
    most = ours.value + ours.rounding + comparison.tolerance
    most_of_best[row[of_best]] = most[of_best]
    is_tied = high >= least_of_best[entry_row]
    is_tied &= theirs.value - theirs.rounding <= most_of_best[entry_row]
    tied += np.bincount(entry_row[is_tied], minlength=rows)


def write(
    task: Task,
    queries: np.ndarray,
    row: np.ndarray,
    place: np.ndarray,
    rank: np.ndarray,
    figures: Figures,
) -> None:
    """Write the figures that follow from the ranks of the positives."""
    relevant = task.layout.relevant[queries]
    precision = place / rank
    hit = rank <= relevant[row]

    def count(chosen: np.ndarray) -> np.ndarray:
        counts: np.ndarray = np.bincount(row[chosen], minlength=len(queries))
        return counts

    def mean(values: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.bincount(row, values, minlength=len(queries))
        means: np.ndarray = total / np.maximum(relevant, 1)
        return means

    figures.hits[queries] = count(hit)
    figures.average_precision[queries] = mean(precision * hit)
    for k, hits in figures.hits_at.items():
        hits[queries] = count(rank <= k)
    if figures.whole_average_precision is not None:
        figures.whole_average_precision[queries] = mean(precision)
    if figures.positive_ranks is not None:
        figures.positive_ranks[task.first_rank[queries][row] + place - 1] = rank
