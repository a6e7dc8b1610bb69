"""Mapped vectors in class order: kept in memory if they fit, else made on demand."""

import sys

import numpy as np

from dmlbench.retrieval.distances import Map

_BYTES_MAPPED_AT_ONCE = 4 * 2**20


class MappedVectors:
    """Rows ``vectors[order]`` after a distance's map.

    Args:
        vectors: embeddings ``[N, D]``.
        order: which rows to take, and in which order ``[M]``.
        mapping: the distance's map.
        keep_below: most bytes that a mapped copy of all rows may take; a larger one is made in
            parts, on demand.
        dtype: of the mapped rows, float32 or float64.
    """

    def __init__(
        self, vectors: np.ndarray, order: np.ndarray, mapping: Map, keep_below: int, dtype: np.dtype
    ) -> None:
        self._vectors = vectors
        self._order = order
        self._mapping = mapping
        self._dtype = dtype
        self._kept: np.ndarray | None = None
        self._width: int = mapping(vectors[:1]).shape[1]
        self._bytes_per_row = self._width * dtype.itemsize
        if len(order) * self._bytes_per_row <= keep_below:
            self._kept = self._make(0, len(order))

    def __len__(self) -> int:
        return len(self._order)

    @property
    def kept(self) -> bool:
        """Whether a mapped copy is in memory, so that a part costs nothing."""
        return self._kept is not None

    def part(self, start: int, end: int) -> np.ndarray:
        """Return rows `start` to `end`, ``[end - start, E]``."""
        if self._kept is not None:
            return self._kept[start:end]
        return self._make(start, end)

    def rows_in(self, memory: int) -> int:
        """Return how many rows, at least 1, a part may have to fit into `memory` bytes."""
        return sys.maxsize if self.kept else max(1, memory // self._bytes_per_row)

    def bytes_of(self, rows: int) -> int:
        """Return the bytes that a part of this many rows takes."""
        return 0 if self.kept else rows * self._bytes_per_row

    def _make(self, start: int, end: int) -> np.ndarray:
        made = np.empty((end - start, self._width), self._dtype)
        step = max(1, _BYTES_MAPPED_AT_ONCE // (8 * self._width))
        for first in range(start, end, step):
            last = min(first + step, end)
            rows = self._vectors[self._order[first:last]]
            made[first - start : last - start] = self._mapping(rows)
        return made
