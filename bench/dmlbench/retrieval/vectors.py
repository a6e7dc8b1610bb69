"""Mapped vectors in class order, kept in memory where they fit, made on demand where not."""

import numpy as np

from dmlbench.retrieval.distances import Map

_ROWS_AT_ONCE = 2048


class MappedVectors:
    """Rows ``vectors[order]`` after a distance's map.

    Args:
        vectors: embeddings ``[N, D]``.
        order: the rows to take, in which order ``[M]``.
        mapping: the distance's map.
        keep_below: bytes that a mapped copy of all rows may take; else parts are made on demand.
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
        width = mapping(vectors[:1]).shape[1]
        if len(order) * width * dtype.itemsize <= keep_below:
            kept = np.empty((len(order), width), dtype)
            for start in range(0, len(order), _ROWS_AT_ONCE):
                end = min(start + _ROWS_AT_ONCE, len(order))
                kept[start:end] = self._make(start, end)
            self._kept = kept

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

    def _make(self, start: int, end: int) -> np.ndarray:
        return self._mapping(self._vectors[self._order[start:end]]).astype(self._dtype, copy=False)
