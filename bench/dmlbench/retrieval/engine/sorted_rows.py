"""Ranks from sorted rows of float64 values.

The engine for large classes. A float64 product takes twice as long as one in float32, but leaves
next to nothing in doubt: the last bit of a value says whether the item is a positive, and once a
row is sorted, places are ranks. Where a negative and a positive are too close for that, differences
decide.
"""

import threading

import numpy as np

from dmlbench.retrieval.engine.positives import positives_of
from dmlbench.retrieval.engine.products import workers
from dmlbench.retrieval.engine.rounding import tag
from dmlbench.retrieval.engine.settle import ITEM_BITS, Negatives, places, settle, write
from dmlbench.retrieval.engine.task import Figures, Task

_MOST_ROWS = 256
_BYTES_PER_VALUE = 8
_BYTES_PER_SORTED_VALUE = 40
_BYTES_TO_SETTLE = 2**24
_BYTES_PER_SETTLED_VALUE = 128


def rank_by_sorting(task: Task) -> Figures:
    """Return the figures of every query of the layout."""
    figures = Figures.zeros(task)
    kept = task.items if task.whole_ranking else min(task.items, int(task.depth.max()) + 1)
    bytes_per_row = _BYTES_PER_VALUE * task.items + _BYTES_PER_SORTED_VALUE * kept
    rows = int(np.clip(task.memory // (2 * bytes_per_row), 1, _MOST_ROWS))
    scored = np.flatnonzero(task.layout.relevant > 0)
    own = threading.local()

    def measure(first: int) -> None:
        if not hasattr(own, "buffer"):
            own.buffer = np.empty((rows, task.items))
        queries = scored[first : first + rows]
        unsettled = _sort(task, queries, own.buffer[: len(queries)], figures)
        step = max(1, min(rows, _BYTES_TO_SETTLE // (_BYTES_PER_SETTLED_VALUE * task.items)))
        for start in range(0, len(unsettled), step):
            some = unsettled[start : start + step]
            _settle(task, some, own.buffer[: len(some)], figures)

    with workers(task.memory // (rows * bytes_per_row)) as pool:
        list(pool.map(measure, range(0, len(scored), rows)))
    return figures


def _sort(task: Task, queries: np.ndarray, value: np.ndarray, figures: Figures) -> np.ndarray:
    """Write the figures of those queries that leave no doubt, and return the others.

    Args:
        task: what to measure.
        queries: which, each with a positive ``[b]``.
        value: a buffer ``[b, G]``.
        figures: to write to.
    """
    comparison = task.comparison
    bits = value.view(np.int64)
    for columns in comparison.precise(queries, value):
        bits[:, columns] &= ~1
    best, worst = _mark_positives(task, queries, value)
    depth = (value >= worst[:, None]).sum(axis=1) if task.whole_ranking else task.depth[queries]
    kept = min(int(depth.max()) + 1, task.items)
    value.partition(task.items - kept, axis=1)
    top = np.sort(value[:, task.items - kept :], axis=1)
    positive = (top.view(np.int64) & 1).astype(bool)

    last = np.minimum(best, np.maximum(worst, top[:, 0]))
    error = comparison.queries.precise_slack[queries] + task.class_precise_slack.max()
    error += np.spacing(2 * np.maximum(np.abs(best), np.abs(last)))  # the bit, of either
    ties = comparison.tie(queries, last - comparison.shift, error)
    near = (2 * error + ties + comparison.tolerance)[:, None]
    close = top[:, 1:] - near <= top[:, :-1]
    doubt = (close & (positive[:, 1:] != positive[:, :-1])).any(axis=1)
    if kept < task.items:  # what lies below the last one is not seen
        doubt |= (positive[:, 1:] & (top[:, 1:] - near <= top[:, :1])).any(axis=1)
        positive[:, 0] = False

    found, best_rank = positive.sum(axis=1), positive[:, ::-1].argmax(axis=1) + 1
    far = np.flatnonzero(found == 0)
    if len(far):
        rest, margin = value[far] - best[far, None], near[far]
        best_rank[far] = (rest > margin).sum(axis=1) + 1
        negative = value[far].view(np.int64) & 1 == 0
        doubt[far] |= (negative & (np.abs(rest) <= margin)).any(axis=1)
    row, place = places(found)
    rank = np.flatnonzero(positive[:, ::-1]) % kept + 1
    figures.best_rank[queries] = best_rank
    write(task, queries, row, place, rank, figures)
    unsettled: np.ndarray = queries[doubt]
    return unsettled


def _mark_positives(
    task: Task, queries: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Set the last bit of positives; return the values of the best and the worst ``[b]``."""
    bits, own = value.view(np.int64), task.layout.own_position[queries]
    best, worst = np.empty((2, len(queries)))
    classes = list(task.layout.by_class(queries))
    for rows, start, end in classes:
        bits[rows, start:end] |= 1
    here = np.flatnonzero(own >= 0)
    value[here, own[here]] = np.nan
    for rows, start, end in classes:
        np.fmax.reduce(value[rows, start:end], axis=1, out=best[rows])
        np.fmin.reduce(value[rows, start:end], axis=1, out=worst[rows])
    value[here, own[here]] = -np.inf
    return best, worst


def _settle(task: Task, queries: np.ndarray, value: np.ndarray, figures: Figures) -> None:
    """Write the figures of queries whose values leave doubt."""
    items = np.arange(task.items)
    for columns in task.comparison.precise(queries, value):
        value[:, columns] = tag(value[:, columns], items[columns], ITEM_BITS)
    for rows, start, end in task.layout.by_class(queries):
        value[rows, start:end] = -np.inf
    value.sort(axis=1)
    slack = task.comparison.queries.precise_slack[queries] + task.class_precise_slack.max()
    settle(
        task,
        queries,
        positives_of(task, queries),
        Negatives(value, np.zeros(len(queries), np.int64), slack),
        np.zeros(len(queries), bool),
        figures,
    )
