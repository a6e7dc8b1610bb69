"""Values of all pairs in float64, block by block, for measures that look at every pair."""

from collections.abc import Iterator

import numpy as np

from dmlbench.retrieval.engine.comparison import Comparison
from dmlbench.retrieval.inputs import Inputs

_MOST_ROWS = 256
_BYTES_PER_PAIR = 64


def precise_blocks(
    inputs: Inputs, comparison: Comparison, memory: int, queries: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield some queries ``[b]`` and their values ``[b, G]`` (float64), -inf to themselves.

    The values are those of products. A pair that these can't tell from identical rows has value 0.
    The next block overwrites the array.

    Args:
        inputs: embeddings.
        comparison: in the same order.
        memory: bytes for a block.
        queries: which ``[n]``; all, by default.
    """
    items = len(inputs.gallery)
    chosen = np.arange(len(inputs.queries)) if queries is None else queries
    rows = int(np.clip(memory // (_BYTES_PER_PAIR * items), 1, _MOST_ROWS))
    buffer = np.empty((rows, items))
    distances = comparison.frame.rule != "product"
    for start in range(0, len(chosen), rows):
        some = chosen[start : start + rows]
        block = buffer[: len(some)]
        for columns in comparison.precise(some, block):
            value = block[:, columns]
            value -= comparison.shift
            if distances:
                slack = comparison.queries.precise_slack[some, None]
                value[value >= -slack - comparison.gallery.precise_slack[columns]] = 0
        own = inputs.self_index[some]
        here = np.flatnonzero(own >= 0)
        block[here, own[here]] = -np.inf
        yield some, block
