"""The list of negatives that may rank above a positive, kept short.

A query lists the negatives above its lower bound. Once `depth` of them rank above its best
positive, it can have no hit, and from then on it counts those ahead of the best positive, and lists
only those that may or may not be.
"""

import numpy as np

from dmlbench.retrieval.engine.packing import pack, packed_query, packed_value
from dmlbench.retrieval.engine.positives import Positives
from dmlbench.retrieval.engine.query_block import Bounds, settle_listed
from dmlbench.retrieval.engine.task import (
    BYTES_PER_LISTED_NEGATIVE,
    CandidatesOverflowError,
    Figures,
    Task,
)

_BITS_OF_A_RADIX = 16


class Candidates:
    """Bounds, counts and listed negatives of all queries of a task.

    Attributes:
        lower: lowest value at which a negative is listed or counted ``[Q']``.
        upper: lowest value at which a negative is only counted ``[Q']``; infinite for queries that
            list them all.
    """

    def __init__(self, task: Task) -> None:
        total = len(task.layout.relevant)
        self._task = task
        self._depth = task.depth
        self._groups: list[tuple[np.ndarray, Positives, Bounds]] = []
        self._ahead = np.zeros(total, np.int64)
        self._listed: list[tuple[np.ndarray, np.ndarray]] = []
        self._listed_total = 0
        self._most_listed = task.memory // BYTES_PER_LISTED_NEGATIVE
        self.lower, self.upper = np.full((2, total), np.inf, np.float32)

    def start(self, queries: np.ndarray, positives: Positives, nearest: np.ndarray) -> None:
        """Set the bounds of queries from their positives and some negatives.

        Args:
            queries: which, consecutive ``[b]``.
            positives: all of theirs.
            nearest: fast values of each query's best negatives seen so far, ascending ``[b, K]``;
                K is the largest depth, or each row begins with -inf.
        """
        bounds = Bounds(self._task, queries, positives)
        deep = np.clip(self._depth[queries], 1, nearest.shape[1])
        limit = nearest[np.arange(len(queries)), nearest.shape[1] - deep]
        bounds.tighten(np.arange(len(queries)), limit)
        self._groups.append((queries, positives, bounds))
        self.lower[queries], self.upper[queries] = bounds.lower, bounds.upper

    def add(
        self, first: int, last: int, counted: np.ndarray, keys: np.ndarray, items: np.ndarray
    ) -> None:
        """Add what one tile has for queries `first` to `last`: see `sweep.Found`."""
        self._ahead[first:last] += counted
        if len(keys):
            self._listed.append((keys, items))
            self._listed_total += len(keys)

    def are_long(self) -> bool:
        """Return whether the list has outgrown its share of memory."""
        return self._listed_total > self._most_listed

    def figures(self) -> Figures:
        """Return the figures of all queries."""
        figures = Figures.zeros(self._task)
        keys, items = self._shortened()
        query, value = packed_query(keys), packed_value(keys)
        order = _stable_order(query)
        query, items, value = query[order], items[order].astype(np.int64), value[order]
        for queries, positives, bounds in self._groups:
            here = slice(*np.searchsorted(query, [queries[0], queries[-1] + 1]))
            settle_listed(
                self._task,
                queries,
                positives,
                (query[here] - queries[0], items[here], value[here]),
                self._ahead[queries],
                np.isfinite(bounds.upper),
                figures,
            )
        return figures

    def shorten(self) -> None:
        """Drop what can't matter any more.

        Raises:
            CandidatesOverflowError: that is not enough.
        """
        keys, items = self._shortened()
        self._listed = [(keys, items)]
        self._listed_total = len(keys)
        if self._listed_total > self._most_listed // 2:
            raise CandidatesOverflowError

    def _shortened(self) -> tuple[np.ndarray, np.ndarray]:
        """Tighten the bounds; take the keys and items off the list that still lie within them."""
        nothing = (np.empty(0, np.uint64), np.empty(0, np.uint32))
        keys, items = (np.concatenate(part) for part in zip(nothing, *self._listed, strict=True))
        self._listed = []
        ordered = np.sort(keys)
        total = len(self.lower)
        end = np.searchsorted(ordered, np.arange(1, total + 1, dtype=np.uint64) << np.uint64(32))
        size = np.diff(end, prepend=0)
        listing = np.isinf(self.upper) & (self._depth > 0)
        full = listing & (size >= self._depth)
        for queries, _, bounds in self._groups:
            rows = np.flatnonzero(full[queries])
            chosen = queries[rows]
            limit = packed_value(ordered[end[chosen] - self._depth[chosen]])
            bounds.tighten(rows, limit)
            self.lower[queries], self.upper[queries] = bounds.lower, bounds.upper
        changed = np.flatnonzero(full & np.isfinite(self.upper))
        above = np.searchsorted(ordered, pack(changed, self.upper[changed]))
        self._ahead[changed] += end[changed] - above
        del ordered
        query, value = packed_query(keys), packed_value(keys)
        kept = (value >= self.lower[query]) & (value < self.upper[query])
        return keys[kept], items[kept]


def _stable_order(numbers: np.ndarray) -> np.ndarray:
    """Return the stable order of integers, by digits of 16 bits, which NumPy sorts fast."""
    order = np.arange(len(numbers))
    largest, shift = int(numbers.max(initial=0)), 0
    while shift == 0 or largest >> shift:
        digit = (numbers[order] >> shift).astype(np.uint16)
        order = order[np.argsort(digit, kind="stable")]
        shift += _BITS_OF_A_RADIX
    return order
