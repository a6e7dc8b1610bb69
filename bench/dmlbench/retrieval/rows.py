"""Ranks from whole rows of similarities: a block of queries against the whole gallery.

The way for large classes. A query's positives are one segment of its row. Its best R negatives are
parted from the rest, then sorted together with the positives: a positive's place is its rank.
"""

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from dmlbench.retrieval.products import workers
from dmlbench.retrieval.task import Figures, Task
from dmlbench.retrieval.thresholds import above, at_least, sortable

_MOST_ROWS = 256
_COLUMNS = 2048
_ROWS_SORTED_AT_ONCE = 32


def rank_by_rows(task: Task) -> Figures:
    """Return the figures of every query of the layout."""
    figures = Figures.zeros(task)
    items = len(task.gallery)
    rows = int(np.clip(task.memory // (16 * items), 1, _MOST_ROWS))
    # A block, and for the rows being sorted: partition, keys, places and precisions.
    bytes_a_worker = 4 * items * rows + 32 * min(rows, _ROWS_SORTED_AT_ONCE) * items
    scored = np.flatnonzero(task.layout.relevant > 0)
    own_buffer = threading.local()

    def measure(start: int) -> None:
        block = scored[start : start + rows]
        if not hasattr(own_buffer, "similarity"):
            own_buffer.similarity = np.empty((rows, items), np.float32)
        similarity = own_buffer.similarity[: len(block)]
        vectors = task.queries.part(block[0], block[-1] + 1)[block - block[0]]
        for first in range(0, items, _COLUMNS):
            last = min(first + _COLUMNS, items)
            task.multiply(vectors, task.gallery.part(first, last), similarity[:, first:last])
        for run in _runs_of_one_class(task.layout.query_class[block]):
            _measure_class(task, similarity[run], block[run], figures)

    with workers(task.memory // bytes_a_worker) as pool:
        for done in [pool.submit(measure, start) for start in range(0, len(scored), rows)]:
            done.result()
    return figures


def _runs_of_one_class(classes: np.ndarray) -> Iterator[slice]:
    edges = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
    for start, end in pairwise(edges):
        for first in range(start, end, _ROWS_SORTED_AT_ONCE):
            yield slice(first, min(first + _ROWS_SORTED_AT_ONCE, end))


def _measure_class(
    task: Task, similarity: np.ndarray, queries: np.ndarray, figures: Figures
) -> None:
    """Measure queries of one class from their rows of similarities, which are used up."""
    layout = task.layout
    number = layout.query_class[queries[0]]
    relevant = layout.relevant[queries][:, None]
    own = layout.own_position[queries]
    here = np.flatnonzero(own >= 0)
    similarity[here, own[here]] = -np.inf
    segment = slice(layout.class_start[number], layout.class_end[number])
    positive = similarity[:, segment].copy()
    similarity[:, segment] = -np.inf  # now the row holds negatives, and -inf below them

    negatives = similarity.shape[1] - positive.shape[1]
    kept = negatives if task.whole_ranking else min(negatives, int(task.depth[queries].max()))
    if 0 < kept < similarity.shape[1]:
        similarity.partition(similarity.shape[1] - kept, axis=1)
    nearest = similarity[:, similarity.shape[1] - kept :]

    is_positive = _merge(at_least(positive, task.tolerance), nearest)
    place = np.arange(1, is_positive.shape[1] + 1)
    found = np.minimum(is_positive.cumsum(axis=1), relevant)
    precision = np.where(is_positive, found / place, 0)
    best = positive.max(axis=1)
    ahead = is_positive.argmax(axis=1)
    beyond = (nearest >= above(best, task.tolerance)[:, None]).sum(axis=1)
    far = np.flatnonzero((ahead == kept) & (kept < negatives))
    if len(far):
        rows = similarity[far]
        ahead[far] = (rows >= at_least(best[far], task.tolerance)[:, None]).sum(axis=1)
        beyond[far] = (rows >= above(best[far], task.tolerance)[:, None]).sum(axis=1)

    figures.best_rank[queries] = ahead + 1
    figures.ties[queries] = ahead - beyond
    among_first = place <= relevant
    figures.hits[queries] = (is_positive & among_first).sum(axis=1)
    figures.average_precision[queries] = (precision * among_first).sum(axis=1) / relevant[:, 0]
    for k, hits in figures.hits_at.items():
        hits[queries] = found[:, min(k, found.shape[1]) - 1]
    if figures.whole_average_precision is not None:
        place_of_own = is_positive & (is_positive.cumsum(axis=1) > relevant)
        figures.whole_average_precision[queries] = (
            np.where(place_of_own, 0, precision).sum(axis=1) / relevant[:, 0]
        )


def _merge(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Sort both together, best first, a negative before an equal positive; return which is which.

    Args:
        positive: least similarities ``[r, P]`` that a negative needs to stand above each positive.
        negative: similarities ``[r, K]``.

    Returns:
        Boolean ``[r, P + K]``: whether a positive is in that place.
    """
    keys = np.concatenate([~sortable(positive), ~sortable(negative)], axis=1).astype(np.uint64)
    keys <<= np.uint64(1)
    keys[:, : positive.shape[1]] |= np.uint64(1)
    keys.sort(axis=1)
    return (keys & np.uint64(1)).astype(bool)
