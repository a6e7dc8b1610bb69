"""The list of negatives that may rank above a positive, kept short.

A query lists the negatives at or above its bound. Once `depth` of them rank above its best
positive, it can have no hit, and from then on it only counts: the negatives at least as similar as
the best positive, and those more similar than a tie with it.
"""

import numpy as np

from dmlbench.retrieval.engine.task import Figures, Task
from dmlbench.retrieval.engine.thresholds import (
    above,
    at_least,
    pack,
    packed_query,
    packed_similarity,
)

_NEVER = np.float32(np.inf)
_BYTES_PER_LISTED_NEGATIVE = 32  # its key twice while sorting, and as much to build it


class Candidates:
    """Bounds, counts and listed negatives of all queries of a task.

    Attributes:
        bound: lowest similarity at which a negative is listed or counted ``[Q']``.
        beyond: lowest similarity at which a negative beats the best positive by more than a tie
            ``[Q']``.
        counting: whether a query only counts ``[Q']``.
    """

    def __init__(self, task: Task) -> None:
        total = len(task.layout.relevant)
        self._task = task
        self._depth = task.depth
        self._positive_end = np.cumsum(task.layout.relevant)
        self._positive = np.empty(int(task.layout.relevant.sum()), np.uint64)
        self._least = np.full(total, _NEVER)
        self._above = np.zeros(total, np.int64)
        self._beyond = np.zeros(total, np.int64)
        self._listed: list[np.ndarray] = []
        self._listed_total = 0
        self._most_listed = task.memory // _BYTES_PER_LISTED_NEGATIVE
        self.bound = np.full(total, _NEVER)
        self.beyond = np.full(total, _NEVER)
        self.counting = np.zeros(total, dtype=bool)

    def start(self, first: int, last: int, positive: np.ndarray, nearest: np.ndarray) -> None:
        """Set the bounds of queries `first` to `last` from their positives and some negatives.

        Args:
            first: first query.
            last: one past the last query.
            positive: packed similarities of all positives of these queries, sorted.
            nearest: similarities of each query's best negatives seen so far, ascending
                ``[last - first, K]``; K is the largest depth, or each row begins with -inf.
        """
        relevant = self._task.layout.relevant[first:last]
        end = np.cumsum(relevant)
        self._positive[self._positive_end[first] - relevant[0] :][: len(positive)] = positive
        scored = np.flatnonzero(relevant)
        query = first + scored
        best = packed_similarity(positive[end[scored] - 1])
        worst = packed_similarity(positive[end[scored] - relevant[scored]])
        deep = np.minimum(self._depth[query], nearest.shape[1])
        limit = nearest[scored, nearest.shape[1] - deep]
        tolerance = self._task.tolerance
        least = at_least(best, tolerance)
        self._least[query] = least
        self.beyond[query] = above(best, tolerance)
        self.counting[query] = limit >= least
        self.bound[query] = np.minimum(least, np.maximum(at_least(worst, tolerance), limit))

    def add(
        self, first: int, last: int, at_bound: np.ndarray, beyond: np.ndarray, listed: np.ndarray
    ) -> None:
        """Add what one tile has for queries `first` to `last`.

        Args:
            first: first query.
            last: one past the last query.
            at_bound: number of negatives at or above the bound ``[last - first]``; used for
                queries that only count.
            beyond: number of negatives beyond a tie ``[last - first]``; used likewise.
            listed: packed similarities of the other queries' negatives at or above the bound.
        """
        counting = self.counting[first:last]
        self._above[first:last] += at_bound * counting
        self._beyond[first:last] += beyond * counting
        if len(listed):
            self._listed.append(listed)
            self._listed_total += len(listed)

    def are_long(self) -> bool:
        """Return whether the list has outgrown its share of memory."""
        return self._listed_total > self._most_listed

    def figures(self) -> Figures:
        """Return the figures of all queries."""
        self.shorten()
        task, figures = self._task, Figures.zeros(self._task)
        relevant = task.layout.relevant
        scored = relevant > 0
        keys, end = self._sorted()
        query = packed_query(self._positive)
        least = at_least(packed_similarity(self._positive), task.tolerance)
        negatives = end[query] - np.searchsorted(keys, pack(query, least))
        place = self._positive_end[query] - np.arange(len(query))
        rank = place + negatives

        listing = scored & ~self.counting
        best = self._positive_end[listing] - 1
        figures.best_rank[listing] = rank[best]
        figures.best_rank[self.counting] = self._above[self.counting] + 1
        tied_or_above = figures.best_rank - 1
        beyond = self._beyond
        beyond[listing] = end[listing] - np.searchsorted(
            keys, pack(np.flatnonzero(listing), self.beyond[listing])
        )
        figures.ties[scored] = (tied_or_above - beyond)[scored]

        hit = (rank <= relevant[query]) & listing[query]
        figures.hits[:] = np.bincount(query[hit], minlength=len(relevant))
        figures.average_precision[:] = np.bincount(
            query[hit], place[hit] / rank[hit], minlength=len(relevant)
        ) / np.maximum(relevant, 1)
        for k, hits in figures.hits_at.items():
            found = (rank <= k) & listing[query]
            hits[:] = np.bincount(query[found], minlength=len(relevant))
        return figures

    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all listed keys, sorted, and the end of each query's keys (exclusive)."""
        keys = np.concatenate([np.empty(0, np.uint64), *self._listed])
        self._listed = [keys]
        keys.sort()
        total = len(self.bound)
        end = np.searchsorted(keys, np.arange(1, total + 1, dtype=np.uint64) << np.uint64(32))
        return keys, end

    def shorten(self) -> None:
        """Keep only the best `depth` negatives of each query, and raise its bound to the last."""
        keys, end = self._sorted()
        size = np.diff(end, prepend=0)
        full = np.flatnonzero((size >= self._depth) & (self._depth > 0))
        limit = packed_similarity(keys[end[full] - self._depth[full]])
        lost = full[limit >= self._least[full]]
        for counts, threshold in ((self._above, self._least), (self._beyond, self.beyond)):
            counts[lost] += end[lost] - np.searchsorted(keys, pack(lost, threshold[lost]))
        self.counting[lost] = True
        self.bound[full] = np.minimum(self._least[full], np.maximum(self.bound[full], limit))

        kept = np.minimum(size, np.where(self.counting, 0, self._depth))
        first = np.repeat(end - np.cumsum(kept), kept)
        self._listed = [keys[first + np.arange(len(first))]]
        self._listed_total = len(first)
