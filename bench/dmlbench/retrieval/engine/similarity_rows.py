"""Ranks from rows of similarities, of which every query keeps its best R negatives.

The engine for classes too large for tiles. A block of queries sees the whole gallery, part by part.
"""

import threading

import numpy as np

from dmlbench.retrieval.engine.products import workers
from dmlbench.retrieval.engine.query_block import QueryBlock, bytes_to_rank, negatives_kept
from dmlbench.retrieval.engine.task import (
    BYTES_PER_LISTED_NEGATIVE,
    CandidatesOverflowError,
    Figures,
    Task,
)

_COLUMNS = 16384
_LISTED_OVER_KEPT = 2
_MOST_ROWS = 256
_MOST_ROWS_IF_GALLERY_IS_MADE = 1024  # anew for each block, so that fewer blocks pay


def rank_by_rows(task: Task) -> Figures:
    """Return the figures of every query of the layout."""
    figures = Figures.zeros(task)
    items, columns = task.items, min(_COLUMNS, task.items)
    kept = negatives_kept(task, slice(None))
    listed = _LISTED_OVER_KEPT * kept
    bytes_per_row = (
        9 * columns + BYTES_PER_LISTED_NEGATIVE * listed + 16 * int(task.layout.class_size.max())
    )
    most = _MOST_ROWS if task.comparison.gallery.kept else _MOST_ROWS_IF_GALLERY_IS_MADE
    most = min(most, task.comparison.queries.rows_in(task.memory // 8))
    rows = int(np.clip(task.memory // (2 * bytes_per_row), 1, most))
    scored = np.flatnonzero(task.layout.relevant > 0)
    own = threading.local()

    def measure(queries: np.ndarray) -> None:
        if not hasattr(own, "buffer"):
            own.buffer = np.empty(rows * columns, np.float32)
        block = QueryBlock(task, queries, rows * listed)
        try:
            for left in range(0, items, columns):
                block.see(left, block.multiply(left, min(left + columns, items), own.buffer))
        except CandidatesOverflowError:
            for half in np.array_split(queries, 2):
                measure(half)
        else:
            block.write(figures)

    with workers(task.memory // (rows * bytes_per_row + bytes_to_rank(task))) as pool:
        blocks = (scored[first : first + rows] for first in range(0, len(scored), rows))
        list(pool.map(measure, blocks))
    return figures
