"""A block of queries that sees the gallery part by part and keeps what its ranks need."""

import numpy as np

from dmlbench.retrieval.engine.positives import Positives, ends, positives_of, reach
from dmlbench.retrieval.engine.rounding import single_at_least, tag
from dmlbench.retrieval.engine.settle import ITEM_BITS, Negatives, settle
from dmlbench.retrieval.engine.task import CandidatesOverflowError, Figures, Task

_COLUMNS_PER_PRODUCT = 2048
_ENTRIES_RANKED_AT_ONCE = 2**18
_BYTES_PER_RANKED_ENTRY = 64


class QueryBlock:
    """Queries in class order: all their positives, and the best negatives seen so far.

    Show it every part of the gallery once, in any order.

    Args:
        task: what to measure.
        queries: which of its queries, ascending.
        most_listed: negatives that it may list.

    Attributes:
        bounds: what it lists and what it counts.
    """

    def __init__(self, task: Task, queries: np.ndarray, most_listed: int) -> None:
        self._task, self._queries = task, queries
        self._most_listed, self._listed_total = most_listed, 0
        side = task.comparison.queries
        self._vectors = side.part(queries[0], queries[-1] + 1)
        if len(self._vectors) > len(queries):
            self._vectors = self._vectors[queries - queries[0]]
        self._classes = list(task.layout.by_class(queries))
        self._kept = negatives_kept(task, queries)
        self._nearest = np.empty((len(queries), 0), np.float32)
        self._counted = np.zeros(len(queries), np.int64)
        self._listed: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._positives = positives_of(task, queries)
        self.bounds = Bounds(task, queries, self._positives)

    def multiply(self, left: int, right: int, buffer: np.ndarray) -> np.ndarray:
        """Return fast values of items `left` to `right` ``[b, right - left]``, in `buffer`."""
        comparison = self._task.comparison
        shape = len(self._queries), right - left
        value = buffer[: shape[0] * shape[1]].reshape(shape)
        step = min(_COLUMNS_PER_PRODUCT, comparison.gallery.rows_in(self._task.memory // 8))
        for start in range(left, right, step):
            end = min(start + step, right)
            out = value[:, start - left : end - left]
            comparison.multiply(self._vectors, comparison.gallery.part(start, end), out)
            comparison.subtract_norms(self._queries, start, end, out)
        return value

    def see(self, left: int, value: np.ndarray) -> None:
        """Take in the values ``[b, m]`` of gallery items from `left` on; overwrites some.

        Raises:
            CandidatesOverflowError: more may matter than it may list, and it is not a single query.
        """
        for rows, start, end in self._classes:
            value[rows, max(start - left, 0) : max(end - left, 0)] = -np.inf
        if not self._task.whole_ranking:
            best = _largest(value, self._kept)
            self._nearest = _largest(np.concatenate([self._nearest, best], axis=1), self._kept)
            if self._nearest.shape[1] == self._kept:
                self.bounds.tighten(slice(None), self._nearest.min(axis=1))
        lower, upper = self.bounds.lower[:, None], self.bounds.upper[:, None]
        found = value >= lower
        counting = np.flatnonzero(np.isfinite(self.bounds.upper))
        ahead = np.zeros(len(value), np.int64)
        if len(counting):
            beyond = value[counting] >= upper[counting]
            ahead[counting] = beyond.sum(axis=1)
            found[counting] &= ~beyond
        self._listed_total += int(np.count_nonzero(found))
        if self._listed_total > self._most_listed and len(found) > 1:
            raise CandidatesOverflowError
        place = np.flatnonzero(found)
        row, item = np.divmod(place.astype(np.int32), np.int32(value.shape[1]))
        item += np.int32(left)
        self._counted += ahead
        self._listed.append((row.astype(np.uint16), item, value.ravel()[place]))

    def write(self, figures: Figures) -> None:
        """Write the figures of these queries, once they have seen the whole gallery."""
        row, item, value = (np.concatenate(part) for part in zip(*self._listed, strict=True))
        self._listed = []
        settle_listed(
            self._task,
            self._queries,
            self._positives,
            (row, item, value),
            self._counted,
            np.isfinite(self.bounds.upper),
            figures,
        )


class Bounds:
    """Between which values of negatives a query lists them, tightened as more are seen.

    Attributes:
        lower: the least that matters ``[b]`` (float32).
        upper: from here on it only counts ``[b]`` (float32); infinite while it lists them all.
    """

    def __init__(self, task: Task, queries: np.ndarray, positives: Positives) -> None:
        lone = task.layout.relevant[queries] == 0
        best, worst = ends(task, queries, positives)
        near = reach(task, queries, positives, task.slack(queries))
        self._best_lower = np.where(lone, np.inf, best - near)
        self._best_upper = np.where(lone, np.inf, best + near)
        self._worst_lower = np.where(lone, np.inf, worst - near)
        self._width = 2 * near
        self.lower = single_at_least(self._worst_lower)
        self.upper = np.full(len(queries), np.inf, np.float32)

    def tighten(self, rows: slice | np.ndarray, limit: np.ndarray) -> None:
        """Set the bounds of some queries, which have `depth` negatives at or above `limit`."""
        best = self._best_lower[rows]
        counts = limit >= self._best_upper[rows]
        upper = single_at_least(self._best_upper[rows])
        lower = np.maximum(self._worst_lower[rows], limit - self._width[rows])
        self.lower[rows] = single_at_least(np.where(counts, best, np.minimum(best, lower)))
        self.upper[rows] = np.where(counts & (limit >= upper), upper, self.upper[rows])


def settle_listed(
    task: Task,
    queries: np.ndarray,
    positives: Positives,
    listed: tuple[np.ndarray, np.ndarray, np.ndarray],
    ahead: np.ndarray,
    counted: np.ndarray,
    figures: Figures,
) -> None:
    """Write the figures of queries from their listed negatives: row, item and value of each."""
    row, item, value = listed
    if (np.diff(row.astype(np.int64)) < 0).any():
        order = np.argsort(row, kind="stable")
        row, item, value = row[order], item[order], value[order]
    tagged = tag(value.astype(np.float64), item, ITEM_BITS)
    length = np.bincount(row, minlength=len(queries))
    start = np.cumsum(length) - length
    first = 0
    while first < len(queries):
        # As many rows as fit once all are as long as the longest of them.
        longest = np.maximum.accumulate(length[first:])
        fits = (np.arange(1, len(longest) + 1) * (longest + positives.value.shape[1])) <= (
            _ENTRIES_RANKED_AT_ONCE
        )
        last = first + max(1, int(np.argmin(fits)) if not fits.all() else len(fits))
        chosen = slice(first, last)
        width = max(1, int(length[chosen].max()))
        sorted_rows = np.full((last - first, width), -np.inf)
        entries = tagged[int(start[first]) : int(start[last - 1] + length[last - 1])]
        sorted_rows[np.arange(width) < length[chosen, None]] = entries
        sorted_rows.sort(axis=1)
        settle(
            task,
            queries[chosen],
            Positives(positives.value[chosen], positives.bits),
            Negatives(sorted_rows, ahead[chosen], task.slack(queries[chosen])),
            counted[chosen],
            figures,
        )
        first = last


def bytes_to_rank(task: Task) -> int:
    """Return how many bytes a block needs to write its figures."""
    return min(_ENTRIES_RANKED_AT_ONCE * _BYTES_PER_RANKED_ENTRY, task.memory // 4)


def negatives_kept(task: Task, queries: slice | np.ndarray) -> int:
    """Return how many negatives of each row can matter."""
    return task.items if task.whole_ranking else max(1, int(task.depth[queries].max()))


def _largest(value: np.ndarray, k: int) -> np.ndarray:
    """Return the `k` largest entries of each row in any order, or all if there are no more."""
    width = value.shape[1]
    return value if k >= width else np.partition(value, width - k, axis=1)[:, width - k :]
