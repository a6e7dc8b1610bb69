"""Counting and listing the values in a tile that lie above a bound.

Comparisons and counts run strip by strip, so that a strip is read from memory once. True entries
are counted as bytes, eight of them in one 64-bit addition, which is why a tile has at most 8 * 255
columns and a strip at most 255 rows.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from dmlbench.retrieval.engine.candidates import Candidates
from dmlbench.retrieval.engine.packing import pack

LARGEST_WIDTH = 8 * 255
STRIP = 255


class Found(NamedTuple):
    """What a tile has for the queries `first` to `last`."""

    first: int
    last: int
    counted: np.ndarray
    """Negatives at or above the upper bound ``[last - first]``."""
    keys: np.ndarray
    """Queries and values, packed, of the negatives between the bounds."""
    items: np.ndarray
    """The gallery positions of these (uint32)."""


class Side(ABC):
    """The queries along one side of a tile.

    Args:
        candidates: whose bounds to use.
        queries: the first query, and one past the last.
        items: the first gallery item on the other side.
        length: of this side of the tile, which is padded with values of -inf.
    """

    def __init__(
        self, candidates: Candidates, queries: tuple[int, int], items: int, length: int
    ) -> None:
        self._first, self._last = queries
        self._items = items
        here = slice(self._last - self._first)
        self.lower, self.upper = np.full((2, length), np.inf, np.float32)
        self.lower[here] = candidates.lower[slice(*queries)]
        self.upper[here] = candidates.upper[slice(*queries)]
        self._counted = np.zeros(length, np.int64)
        self._keys: list[np.ndarray] = []
        self._listed: list[np.ndarray] = []

    def skip(self, queries: np.ndarray) -> None:
        """Find nothing for the marked `queries` (a boolean mask)."""
        self.lower[: len(queries)][queries] = np.inf
        self.upper[: len(queries)][queries] = np.inf

    @abstractmethod
    def look(self, strip: np.ndarray, start: int, masks: np.ndarray) -> None:
        """Count and list in the rows from `start` on, ``[n, length]``; `masks` are two buffers."""

    def found(self) -> Found:
        """Return what was found in all strips."""
        return Found(
            self._first,
            self._last,
            self._counted[: self._last - self._first],
            np.concatenate(self._keys),
            np.concatenate(self._listed),
        )

    def _list(self, query: np.ndarray, item: np.ndarray, value: np.ndarray) -> None:
        self._keys.append(pack(self._first + query, value))
        self._listed.append((self._items + item).astype(np.uint32))


class Rows(Side):
    """The queries are the rows of the tile."""

    def look(self, strip: np.ndarray, start: int, masks: np.ndarray) -> None:
        """Count and list for the queries of this strip."""
        rows, (mask, beyond) = slice(start, start + len(strip)), masks
        np.greater_equal(strip, self.lower[rows, None], out=mask)
        if np.isfinite(self.upper[rows]).any():
            np.greater_equal(strip, self.upper[rows, None], out=beyond)
            self._counted[rows] = count_rows(beyond)
            np.logical_xor(mask, beyond, out=mask)
        place = np.flatnonzero(mask)
        row, column = np.divmod(place, strip.shape[1])
        self._list(start + row, column, strip.ravel()[place])


class Columns(Side):
    """The queries are the columns of the tile."""

    def look(self, strip: np.ndarray, start: int, masks: np.ndarray) -> None:
        """Count and list for all queries."""
        mask, beyond = masks
        np.greater_equal(strip, self.lower, out=mask)
        if np.isfinite(self.upper).any():
            np.greater_equal(strip, self.upper, out=beyond)
            self._counted += count_columns(beyond)
            np.logical_xor(mask, beyond, out=mask)
        place = np.flatnonzero(mask)
        row, column = np.divmod(place, strip.shape[1])
        self._list(column, start + row, strip.ravel()[place])


def sweep(values: np.ndarray, sides: list[Side], masks: np.ndarray) -> list[Found]:
    """Return what a tile has for the queries on each of its sides.

    Args:
        values: ``[n, m]``, m a multiple of 8 and at most `LARGEST_WIDTH`.
        sides: rows, or rows and columns.
        masks: two buffers of at least `STRIP` x m booleans.
    """
    for start in range(0, len(values), STRIP):
        strip = values[start : start + STRIP]
        buffers = masks[:, : strip.size].reshape(2, *strip.shape)
        for side in sides:
            side.look(strip, start, buffers)
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
