"""Blocks of similarities in input order, for measures that look at every pair."""

from collections.abc import Iterator

import numpy as np

from dmlbench.retrieval.distances import Distance
from dmlbench.retrieval.engine.mapped_vectors import MappedVectors
from dmlbench.retrieval.inputs import Inputs

_MOST_ROWS = 512
_COLUMNS = 2048


def similarity_blocks(
    inputs: Inputs, distance: Distance, memory_budget: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield queries and their similarities ``[b, G]`` (float32), -inf to themselves.

    The next block overwrites the array. Block shapes depend only on the number of items and on
    `memory_budget` (bytes), so results repeat to the bit.
    """
    maps = distance.fit(inputs.queries, inputs.gallery)
    items = len(inputs.gallery)
    every = np.arange(items)
    share, dtype = memory_budget // 2, np.dtype(np.float32)
    gallery = MappedVectors(inputs.gallery, every, maps.gallery, share, dtype)
    rows = int(np.clip(memory_budget // (32 * items), 1, _MOST_ROWS))
    buffer = np.empty((rows, items), np.float32)
    for start in range(0, len(inputs.queries), rows):
        queries = slice(start, min(start + rows, len(inputs.queries)))
        vectors = maps.query(inputs.queries[queries]).astype(np.float32)
        block = buffer[: len(vectors)]
        for left in range(0, items, _COLUMNS):
            right = min(left + _COLUMNS, items)
            np.matmul(vectors, gallery.part(left, right).T, out=block[:, left:right])
        own = inputs.self_index[queries]
        here = np.flatnonzero(own >= 0)
        block[here, own[here]] = -np.inf
        yield queries, block
