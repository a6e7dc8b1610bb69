"""Counting and listing the similarities in a tile that are above a bound.

Comparisons and counts run strip by strip, so that a strip is read from memory once. True entries
are counted as bytes, eight of them in one 64-bit addition, which is why a tile has at most 8 * 255
columns and a strip at most 255 rows.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from dmlbench.retrieval.engine.candidates import Candidates
from dmlbench.retrieval.engine.thresholds import pack

LARGEST_WIDTH = 8 * 255
STRIP = 255


class Found(NamedTuple):
    """What a tile has for the queries `first` to `last`."""

    first: int
    last: int
    at_bound: np.ndarray
    """Negatives at or above the bound ``[last - first]``; valid for queries that count."""
    beyond: np.ndarray
    """Negatives beyond a tie ``[last - first]``; valid for queries that count."""
    listed: np.ndarray
    """Packed similarities of the negatives at or above the bound, for the other queries."""


class Side(ABC):
    """The queries along one side of a tile.

    Args:
        candidates: whose bounds to use.
        first: first query.
        last: one past the last query.
        length: of this side of the tile, which is padded with similarities of -inf.
    """

    def __init__(self, candidates: Candidates, first: int, last: int, length: int) -> None:
        self._first, self._last = first, last
        queries, here = slice(first, last), slice(last - first)
        self.bound, self.beyond = np.full((2, length), np.inf, np.float32)
        self.bound[here] = candidates.bound[queries]
        self.beyond[here] = candidates.beyond[queries]
        self.counting = np.zeros(length, dtype=bool)
        self.counting[here] = candidates.counting[queries]
        self._at_bound = np.zeros(length, np.int64)
        self._past_tie = np.zeros(length, np.int64)
        self._keys: list[np.ndarray] = []

    def skip(self, queries: np.ndarray) -> None:
        """Find nothing for the marked `queries` (a boolean mask)."""
        self.bound[: len(queries)][queries] = np.inf
        self.beyond[: len(queries)][queries] = np.inf

    @abstractmethod
    def look(self, strip: np.ndarray, start: int, mask: np.ndarray) -> None:
        """Count and list in the rows from `start` on, ``[n, length]``; `mask` is a buffer."""

    def found(self) -> Found:
        """Return what was found in all strips."""
        here = slice(self._last - self._first)
        return Found(
            self._first,
            self._last,
            self._at_bound[here],
            self._past_tie[here],
            np.concatenate(self._keys),
        )

    def _list(self, query: np.ndarray, similarity: np.ndarray) -> None:
        self._keys.append(pack(self._first + query, similarity))


class Rows(Side):
    """The queries are the rows of the tile."""

    def look(self, strip: np.ndarray, start: int, mask: np.ndarray) -> None:
        """Count and list for the queries of this strip."""
        rows = slice(start, start + len(strip))
        counting = self.counting[rows]
        if counting.any():
            np.greater_equal(strip, self.beyond[rows, None], out=mask)
            self._past_tie[rows] = count_rows(mask)
        np.greater_equal(strip, self.bound[rows, None], out=mask)
        if counting.any():
            self._at_bound[rows] = count_rows(mask)
            mask[counting] = False
        place = np.flatnonzero(mask)
        self._list(start + place // strip.shape[1], strip.ravel()[place])


class Columns(Side):
    """The queries are the columns of the tile."""

    def look(self, strip: np.ndarray, start: int, mask: np.ndarray) -> None:
        """Count and list for all queries."""
        counting = self.counting.any()
        if counting:
            np.greater_equal(strip, self.beyond, out=mask)
            self._past_tie += count_columns(mask)
        np.greater_equal(strip, self.bound, out=mask)
        if counting:
            self._at_bound += count_columns(mask)
            np.logical_and(mask, ~self.counting, out=mask)
        place = np.flatnonzero(mask)
        self._list(place % strip.shape[1], strip.ravel()[place])


def sweep(similarity: np.ndarray, sides: list[Side], mask: np.ndarray) -> list[Found]:
    """Return what a tile has for the queries on each of its sides.

    Args:
        similarity: ``[n, m]``, m a multiple of 8 and at most `LARGEST_WIDTH`.
        sides: rows, or rows and columns.
        mask: a buffer of at least `STRIP` x m booleans.
    """
    for start in range(0, len(similarity), STRIP):
        strip = similarity[start : start + STRIP]
        for side in sides:
            side.look(strip, start, mask[: strip.size].reshape(strip.shape))
    return [side.found() for side in sides]


def count_rows(mask: np.ndarray) -> np.ndarray:
    """Return how many entries of each row are true ``[n]``; `mask` is ``[n, 8 m]``, m below 256."""
    words = np.add.reduce(mask.view(np.uint64), axis=1)
    counts: np.ndarray = words[:, None].view(np.uint8).sum(axis=1, dtype=np.int64)
    return counts


def count_columns(mask: np.ndarray) -> np.ndarray:
    """Return how many entries of each column are true (uint8), of at most 255 rows."""
    counts: np.ndarray = np.add.reduce(mask.view(np.uint8), axis=0, dtype=np.uint8)
    return counts
