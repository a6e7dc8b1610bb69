"""Ranks from rows of similarities: a block of queries against the whole gallery, part by part.

The way for large classes. A block's positives come first, one segment of the gallery a class. Of
the negatives each row keeps its best R, in which the positives then find their ranks.
"""

import threading
from itertools import pairwise

import numpy as np

from dmlbench.retrieval.products import workers
from dmlbench.retrieval.task import Figures, Task
from dmlbench.retrieval.thresholds import above, at_least

_COLUMNS = 16384
_COLUMNS_A_PRODUCT = 2048
_MOST_ROWS = 256
_MOST_ROWS_IF_GALLERY_IS_MADE = 1024
_ROWS_SORTED_AT_ONCE = 32


def rank_by_rows(task: Task) -> Figures:
    """Return the figures of every query of the layout."""
    figures = Figures.zeros(task)
    columns = min(_COLUMNS, len(task.gallery))
    kept = _negatives_kept(task, slice(None))
    largest = int(task.layout.class_size.max())
    bytes_a_row = 4 * columns + 12 * kept + 8 * largest
    sorting = 40 * (kept + largest) * _ROWS_SORTED_AT_ONCE
    most = _MOST_ROWS if task.gallery.kept else _MOST_ROWS_IF_GALLERY_IS_MADE
    most = min(most, task.queries.rows_in(task.memory // 8))
    rows = int(np.clip(task.memory // (2 * bytes_a_row), 1, most))
    scored = np.flatnonzero(task.layout.relevant > 0)
    own = threading.local()

    def measure(start: int) -> None:
        if not hasattr(own, "buffer"):
            own.buffer = np.empty((rows, columns), np.float32)
        _Block(task, scored[start : start + rows], own.buffer).measure(figures)

    with workers(task.memory // (rows * bytes_a_row + sorting)) as pool:
        for done in [pool.submit(measure, start) for start in range(0, len(scored), rows)]:
            done.result()
    return figures


def _negatives_kept(task: Task, queries: slice | np.ndarray) -> int:
    """Return how many negatives of each row may matter."""
    return len(task.gallery) if task.whole_ranking else int(task.depth[queries].max())


class _Block:
    """Some queries in class order, with their positives."""

    def __init__(self, task: Task, queries: np.ndarray, buffer: np.ndarray) -> None:
        self._task, self._queries, self._buffer = task, queries, buffer
        layout = task.layout
        number = layout.query_class[queries]
        self._start, self._end = layout.class_start[number], layout.class_end[number]
        edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(queries)]
        self._classes = [slice(first, last) for first, last in pairwise(edges)]
        self._vectors = task.queries.part(queries[0], queries[-1] + 1)[queries - queries[0]]
        self._positive = [self._positives_of(rows) for rows in self._classes]
        best = np.concatenate([positive.max(axis=1) for positive in self._positive])
        self._least = at_least(best, task.tolerance)[:, None]
        self._beyond = above(best, task.tolerance)[:, None]

    def _positives_of(self, rows: slice) -> np.ndarray:
        """Return similarities ``[r, class size]`` of queries of one class; -inf to themselves."""
        start, end = self._start[rows.start], self._end[rows.start]
        positive = np.empty((rows.stop - rows.start, end - start), np.float32)
        self._multiply(self._vectors[rows], start, end, positive)
        own = self._task.layout.own_position[self._queries[rows]]
        here = np.flatnonzero(own >= 0)
        positive[here, own[here] - start] = -np.inf
        return positive

    def _multiply(self, vectors: np.ndarray, start: int, end: int, out: np.ndarray) -> None:
        step = min(_COLUMNS_A_PRODUCT, self._task.gallery.rows_in(self._task.memory // 8))
        for left in range(start, end, step):
            right = min(left + step, end)
            part = self._task.gallery.part(left, right)
            self._task.multiply(vectors, part, out[:, left - start : right - start])

    def measure(self, figures: Figures) -> None:
        """Write the figures of these queries."""
        items, columns = len(self._task.gallery), self._buffer.shape[1]
        kept = _negatives_kept(self._task, self._queries)
        ahead = np.zeros(len(self._queries), np.int64)
        beyond = np.zeros(len(self._queries), np.int64)
        nearest = np.empty((len(self._queries), 0), np.float32)
        for left in range(0, items, columns):
            right = min(left + columns, items)
            similarity = self._negatives(left, right)
            best = _largest(similarity, kept)
            ahead_here = (best >= self._least).sum(axis=1)
            beyond_here = (best >= self._beyond).sum(axis=1)
            unseen = np.flatnonzero(ahead_here == best.shape[1])
            if len(unseen) and best.shape[1] < right - left:
                rows = similarity[unseen]
                ahead_here[unseen] = (rows >= self._least[unseen]).sum(axis=1)
                beyond_here[unseen] = (rows >= self._beyond[unseen]).sum(axis=1)
            ahead += ahead_here
            beyond += beyond_here
            nearest = _largest(np.concatenate([nearest, best], axis=1), kept)
        figures.best_rank[self._queries] = ahead + 1
        figures.ties[self._queries] = ahead - beyond
        for of_class, positive in zip(self._classes, self._positive, strict=True):
            for first in range(0, len(positive), _ROWS_SORTED_AT_ONCE):
                last = min(first + _ROWS_SORTED_AT_ONCE, len(positive))
                some = slice(of_class.start + first, of_class.start + last)
                self._rank(self._queries[some], positive[first:last], nearest[some], figures)

    def _negatives(self, left: int, right: int) -> np.ndarray:
        """Return similarities to gallery items `left` to `right`; -inf to the query's own class."""
        similarity = self._buffer[: len(self._queries), : right - left]
        self._multiply(self._vectors, left, right, similarity)
        for rows in self._classes:
            start = max(self._start[rows.start], left)
            end = min(self._end[rows.start], right)
            similarity[rows, max(start - left, 0) : max(end - left, 0)] = -np.inf
        return similarity

    def _rank(
        self, queries: np.ndarray, positive: np.ndarray, nearest: np.ndarray, figures: Figures
    ) -> None:
        """Write what the ranks of the positives say of queries of one class."""
        positive.sort(axis=1)
        nearest.sort(axis=1)
        least = at_least(positive, self._task.tolerance)
        relevant = self._task.layout.relevant[queries][:, None]
        place = np.arange(positive.shape[1], 0, -1)
        below = [np.searchsorted(*row) for row in zip(nearest, least, strict=True)]
        rank = place + nearest.shape[1] - np.array(below)
        # The query itself, at -inf, has the last place, one past R.
        rank[place > relevant] = np.iinfo(rank.dtype).max
        precision = place / rank
        hit = rank <= relevant
        figures.hits[queries] = hit.sum(axis=1)
        figures.average_precision[queries] = (precision * hit).sum(axis=1) / relevant[:, 0]
        for k, hits in figures.hits_at.items():
            hits[queries] = (rank <= k).sum(axis=1)
        if figures.whole_average_precision is not None:
            precision[place > relevant] = 0
            figures.whole_average_precision[queries] = precision.sum(axis=1) / relevant[:, 0]


def _largest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Return the `k` largest entries of each row in any order, all if there are no more.

    The entries of `similarity` are put in another order.
    """
    width = similarity.shape[1]
    if k >= width:
        return similarity
    similarity.partition(width - k, axis=1)
    return similarity[:, width - k :]
