"""Ranks from rows of similarities, of which every query keeps its best R negatives.

The engine for large classes. A block of queries sees the whole gallery, part by part. Or, where the
queries are the gallery and all of them can keep their best at once, each pair of blocks is
multiplied once and used from both sides, for half the products.
"""

import threading
from contextlib import suppress
from itertools import combinations_with_replacement

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
_LARGEST_EDGE = 1000  # a multiple of 64 would map its columns to few cache lines
_EDGE_OVER_KEPT = 4  # where a pair of blocks keeps more, keeping outweighs the products saved


def rank_by_rows(task: Task) -> Figures:
    """Return the figures of every query of the layout."""
    if halves_products(task):
        with suppress(CandidatesOverflowError):
            return _rank_pairs(task)
    return _rank_blocks(task)


def halves_products(task: Task) -> bool:
    """Return whether each pair of blocks is multiplied once: all queries must fit into memory."""
    kept = negatives_kept(task, slice(None))
    bytes_per_query = 8 * int(task.layout.class_size.max()) + 40 * kept
    return (
        task.comparison.symmetric
        and task.comparison.gallery.kept
        and _EDGE_OVER_KEPT * kept <= _edge(task)
        and bytes_per_query * task.items <= task.memory // 2
    )


def _edge(task: Task) -> int:
    """Return the largest number of queries in a block that is paired."""
    return min(_LARGEST_EDGE, int((task.memory / 48) ** 0.5))


def _rank_blocks(task: Task) -> Figures:
    """Show the gallery to each block of queries."""
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
        block.start()
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


def _rank_pairs(task: Task) -> Figures:
    """Show all blocks of queries to each other.

    Raises:
        CandidatesOverflowError: they list too many.
    """
    figures = Figures.zeros(task)
    items, edge = task.items, _edge(task)
    bounds = np.linspace(0, items, -(-items // edge) + 1).astype(int).tolist()
    own = threading.local()
    most_listed = task.memory // (2 * BYTES_PER_LISTED_NEGATIVE)

    def start(number: int) -> QueryBlock:
        queries = np.arange(bounds[number], bounds[number + 1])
        block = QueryBlock(task, queries, most_listed // (len(bounds) - 1))
        block.start()
        return block

    def pair_up(pair: tuple[int, int]) -> None:
        if not hasattr(own, "buffers"):
            own.buffers = np.empty((2, edge * edge), np.float32)
        first, second = pair
        (top, bottom), (left, right) = bounds[first : first + 2], bounds[second : second + 2]
        similarity = blocks[first].multiply(left, right, own.buffers[0])
        if first != second:
            across = own.buffers[1, : similarity.size].reshape(similarity.T.shape)
            across[:] = similarity.T
            blocks[second].see(top, across)
        blocks[first].see(left, similarity)

    with workers(task.memory // 2 // (12 * edge * edge + bytes_to_rank(task))) as pool:
        numbers = range(len(bounds) - 1)
        blocks = list(pool.map(start, numbers))
        list(pool.map(pair_up, combinations_with_replacement(numbers, 2)))
        list(pool.map(lambda block: block.write(figures), blocks))
    return figures
