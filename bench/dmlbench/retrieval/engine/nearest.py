"""The nearest gallery items of each query, in exact order."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from dmlbench.retrieval.distances import Distance
from dmlbench.retrieval.engine.comparison import Comparison, compare
from dmlbench.retrieval.engine.rounding import STEP, single_at_least
from dmlbench.retrieval.inputs import Inputs

_MOST_ROWS = 512
_COLUMNS = 2048
_BYTES_PER_VALUE = 32
_MANY = 4  # a list this many times as long as what is looked for may well be of copies


class Nearest(NamedTuple):
    """The nearest items of some queries, and all that may tie with the last of them."""

    queries: slice
    row: np.ndarray
    """Which of `queries` each entry belongs to ``[n]``, ascending."""
    item: np.ndarray
    """Gallery items ``[n]``."""
    value: np.ndarray
    """Exact values ``[n]``: see `comparison`."""
    rounding: np.ndarray
    """How far each may be off and still tie ``[n]``."""


def in_given_order(inputs: Inputs, distance: Distance, tolerance: float, memory: int) -> Comparison:
    """Return the comparison of queries and gallery in the order in which they were given."""
    items = np.arange(len(inputs.gallery))
    queries = items if inputs.symmetric else np.arange(len(inputs.queries))
    return compare(inputs, (queries, items), distance, tolerance=tolerance, memory=memory)


def nearest(inputs: Inputs, comparison: Comparison, k: int, memory: int) -> Iterator[Nearest]:
    """Yield the `k` nearest items of each query, block by block, with what ties with the last.

    Of items of the same numbers and class, only those come that may be among the `k`, where the
    first given wins.

    Args:
        inputs: embeddings; a query's own row is left out.
        comparison: in the same order.
        k: how many; each query has as many.
        memory: bytes for a block.
    """
    items = len(inputs.gallery)
    rows = int(np.clip(memory // (_BYTES_PER_VALUE * items), 1, _MOST_ROWS))
    buffer = np.empty((rows, items), np.float32)
    spread = float(comparison.gallery.slack.max())

    @cache
    def may_be_among_them() -> np.ndarray:
        # One more than k, as a query's own row is left out.
        return _copies_before(comparison.gallery.group, inputs.gallery_labels) <= k

    for start in range(0, len(inputs.queries), rows):
        queries = np.arange(start, min(start + rows, len(inputs.queries)))
        block = buffer[: len(queries)]
        for left in range(0, items, _COLUMNS):
            right = min(left + _COLUMNS, items)
            comparison.fast(
                int(queries[0]), int(queries[-1]) + 1, left, right, block[:, left:right]
            )
        own = inputs.self_index[queries]
        here = np.flatnonzero(own >= 0)
        block[here, own[here]] = -np.inf
        limit = np.partition(block, items - k, axis=1)[:, items - k].astype(np.float64)
        error = comparison.queries.slack[queries] + spread
        ties = comparison.tie(queries, limit - comparison.shift, error)
        lower = limit - 2 * error - ties - comparison.tolerance - STEP * np.abs(limit)
        near = block >= single_at_least(lower)[:, None]
        if np.count_nonzero(near) > _MANY * k * len(queries):
            near &= may_be_among_them()
        row, item = np.nonzero(near)
        exact = comparison.exact(queries[row], item)
        yield Nearest(slice(start, start + len(queries)), row, item, *exact)


def _copies_before(group: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return how many items of the same group and label come before each ``[G]``."""
    order = np.lexsort((label, group))  # stable
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(group[order]) != 0) | (np.diff(label[order]) != 0)
    place = np.arange(len(order))
    before = np.empty(len(order), np.int64)
    before[order] = place - np.maximum.accumulate(np.where(begins, place, 0))
    return before


def tie_groups(row: np.ndarray, value: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """Return for each entry the number of its group of ties, nearest first, row by row.

    Entries tie in chains: each with the next one further away.

    Args:
        row: the row of each entry ``[n]``.
        value: larger is nearer ``[n]``.
        rounding: by how much a value may be off and still tie ``[n]``.
    """
    order = np.lexsort((-value, row))
    apart = value[order] - rounding[order]
    next_apart = value[order] + rounding[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(row[order]) > 0) | (next_apart[1:] < apart[:-1])
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(begins)
    return group
