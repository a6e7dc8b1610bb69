"""A block of queries that sees the gallery part by part and keeps what its ranks need."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from dmlbench.retrieval.engine.best_ranks import best_ranks
from dmlbench.retrieval.engine.layout import ClassLayout
from dmlbench.retrieval.engine.task import Figures, Task
from dmlbench.retrieval.engine.thresholds import above, at_least

_COLUMNS_PER_PRODUCT = 2048
_ENTRIES_RANKED_AT_ONCE = 2**16
_BYTES_PER_RANKED_ENTRY = 40


class QueryBlock:
    """Queries in class order: all their positives, and the best negatives seen so far.

    Start it, then show it every part of the gallery once, in any order and from any thread.

    Args:
        task: what to measure.
        queries: which of its queries, ascending.
    """

    def __init__(self, task: Task, queries: np.ndarray) -> None:
        self._task, self._queries = task, queries
        self._vectors = task.queries.part(queries[0], queries[-1] + 1)
        if len(self._vectors) > len(queries):
            self._vectors = self._vectors[queries - queries[0]]
        self._classes = list(_by_class(task.layout, queries))
        self._kept = negatives_kept(task, queries)
        self._nearest = np.empty((len(queries), 0), np.float32)
        self._ahead, self._past_tie = np.zeros((2, len(queries)), np.int64)
        self._lock = threading.Lock()

    def start(self, similarity: np.ndarray | None = None) -> None:
        """Find the positives: in the similarities to the whole gallery, if given, else anew."""
        self._positive = self._positives(similarity)
        best = self._positive.max(axis=1, keepdims=True)
        self._least = at_least(best, self._task.tolerance)
        self._beyond = above(best, self._task.tolerance)

    def _positives(self, similarity: np.ndarray | None) -> np.ndarray:
        """Return similarities ``[b, P]``, padded with -inf; also -inf to the query itself."""
        layout = self._task.layout
        number = layout.query_class[self._queries]
        width = int(layout.class_size[number].max())
        positive = np.full((len(number), width), -np.inf, np.float32)
        for rows, start, end in self._classes:
            if similarity is None:
                self._multiply(self._vectors[rows], start, end, positive[rows])
            else:
                positive[rows, : end - start] = similarity[rows, start:end]
        own = layout.own_position[self._queries]
        here = np.flatnonzero(own >= 0)
        positive[here, own[here] - layout.class_start[number[here]]] = -np.inf
        return positive

    def multiply(self, left: int, right: int, buffer: np.ndarray) -> np.ndarray:
        """Return similarities to gallery items `left` to `right` ``[b, right - left]``."""
        similarity = buffer[: len(self._queries), : right - left]
        self._multiply(self._vectors, left, right, similarity)
        return similarity

    def _multiply(self, vectors: np.ndarray, start: int, end: int, out: np.ndarray) -> None:
        step = min(_COLUMNS_PER_PRODUCT, self._task.gallery.rows_in(self._task.memory // 8))
        for left in range(start, end, step):
            right = min(left + step, end)
            part = self._task.gallery.part(left, right)
            self._task.multiply(vectors, part, out[:, left - start : right - start])

    def see(self, left: int, similarity: np.ndarray) -> None:
        """Take in the similarities ``[b, m]`` to gallery items from `left` on; overwrites them."""
        items = similarity.shape[1]
        for rows, start, end in self._classes:
            similarity[rows, max(start - left, 0) : max(end - left, 0)] = -np.inf
        best = _largest(similarity, self._kept)
        ahead = (best >= self._least).sum(axis=1)
        past_tie = (best >= self._beyond).sum(axis=1)
        unseen = np.flatnonzero(ahead == best.shape[1])
        if len(unseen) and best.shape[1] < items:
            rest = similarity[unseen]
            ahead[unseen] = (rest >= self._least[unseen]).sum(axis=1)
            past_tie[unseen] = (rest >= self._beyond[unseen]).sum(axis=1)
        with self._lock:
            self._ahead += ahead
            self._past_tie += past_tie
            self._nearest = _largest(np.concatenate([self._nearest, best], axis=1), self._kept)

    def write(self, figures: Figures) -> None:
        """Write the figures of these queries, once they have seen the whole gallery."""
        scored = self._task.layout.relevant[self._queries] > 0
        figures.best_rank[self._queries] = (self._ahead + 1) * scored
        figures.ties[self._queries] = (self._ahead - self._past_tie) * scored
        entries = bytes_to_rank(self._task) // _BYTES_PER_RANKED_ENTRY
        step = max(1, entries // (self._positive.shape[1] + self._nearest.shape[1]))
        for first in range(0, len(self._queries), step):
            self._write_hits(slice(first, first + step), figures)

    def _write_hits(self, rows: slice, figures: Figures) -> None:
        """Write the figures that follow from the ranks of the positives."""
        queries = self._queries[rows]
        depth = negatives_kept(self._task, queries)
        row, place, rank = best_ranks(
            self._positive[rows], self._nearest[rows], self._task.tolerance, depth
        )
        relevant = self._task.layout.relevant[queries]
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
            figures.positive_ranks[self._task.first_rank[queries][row] + place - 1] = rank


def bytes_to_rank(task: Task) -> int:
    """Return how many bytes a block needs to write its figures."""
    return min(_ENTRIES_RANKED_AT_ONCE * _BYTES_PER_RANKED_ENTRY, task.memory // 4)


def negatives_kept(task: Task, queries: slice | np.ndarray) -> int:
    """Return how many negatives of each row can matter."""
    return len(task.gallery) if task.whole_ranking else max(1, int(task.depth[queries].max()))


def _by_class(layout: ClassLayout, queries: np.ndarray) -> Iterator[tuple[slice, int, int]]:
    """Yield the rows of each class among `queries`, and where the class is in the gallery."""
    number = layout.query_class[queries]
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(queries)]
    for first, last in pairwise(edges):
        of_class = number[first]
        yield slice(first, last), int(layout.class_start[of_class]), int(layout.class_end[of_class])


def _largest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Return the `k` largest entries of each row in any order, or all if there are no more.

    Reorders the entries of `similarity`.
    """
    width = similarity.shape[1]
    if k >= width:
        return similarity
    similarity.partition(width - k, axis=1)
    return similarity[:, width - k :]
