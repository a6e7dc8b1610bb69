"""Ranks from tiles of similarities between groups of whole classes.

The engine for small classes. All positives of a query are in the one tile that contains its own
class; that tile comes first and gives the query a bound, below which negatives don't matter. Where
the queries are the gallery, half of the other tiles suffice: each serves its rows and its columns.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dmlbench.retrieval.engine.candidates import Candidates
from dmlbench.retrieval.engine.positives import positives_of
from dmlbench.retrieval.engine.products import Workers, workers
from dmlbench.retrieval.engine.sweep import STRIP, Columns, Found, Rows, sweep
from dmlbench.retrieval.engine.task import Figures, Task


class Tile(NamedTuple):
    """Queries `top` to `bottom` against gallery items `left` to `right`."""

    top: int
    bottom: int
    left: int
    right: int


class _Workspace(threading.local):
    """Buffers of one thread."""

    def __init__(self, edge: int) -> None:
        self.values = np.empty(edge * (edge + 7), np.float32)
        self.masks = np.empty((2, STRIP * (edge + 7)), bool)


def rank_by_tiles(task: Task, edge: int) -> Figures:
    """Return the figures of every query of the layout.

    Args:
        task: what to measure.
        edge: largest side of a tile, at most `sweep.LARGEST_WIDTH`; no class may be larger.
    """
    columns = _class_edges(task.layout.class_start, task.layout.class_size, edge)
    group = np.searchsorted(columns, task.layout.class_start[task.layout.query_class], "right") - 1
    candidates = Candidates(task)
    workspace = _Workspace(edge)

    def own_tile(tile: Tile) -> list[Found]:
        values = _product(task, tile, workspace)
        _start_queries(task, candidates, tile, values)
        rows = Rows(candidates, (tile.top, tile.bottom), tile.left, len(values))
        return sweep(values, [rows], workspace.masks)

    def other_tile(tile: Tile) -> list[Found]:
        values = _product(task, tile, workspace)
        rows = Rows(candidates, (tile.top, tile.bottom), tile.left, len(values))
        if task.comparison.symmetric:
            across = Columns(candidates, (tile.left, tile.right), tile.top, values.shape[1])
            return sweep(values, [rows, across], workspace.masks)
        rows.skip(group[tile.top : tile.bottom] == np.searchsorted(columns, tile.left))
        return sweep(values, [rows], workspace.masks)

    parts = task.comparison.queries.bytes_of(edge) + task.comparison.gallery.bytes_of(edge)
    with workers(task.memory // 2 // (5 * edge * edge + parts)) as pool:
        _gather(pool, own_tile, _own_tiles(columns, group, edge), candidates)
        others = _other_tiles(columns, len(group), edge, task.comparison.symmetric)
        _gather(pool, other_tile, others, candidates)
    return candidates.figures()


def _gather(
    pool: Workers,
    work: Callable[[Tile], list[Found]],
    tiles: Iterator[Tile],
    candidates: Candidates,
) -> None:
    """Process all tiles, but none while the list is shortened, as that moves the bounds."""
    running: deque[Future[list[Found]]] = deque()

    def take_result() -> None:
        for found in running.popleft().result():
            candidates.add(*found)

    for tile in tiles:
        running.append(pool.submit(work, tile))
        if len(running) > pool.threads:
            take_result()
        if candidates.are_long():
            while running:
                take_result()
            candidates.shorten()
    while running:
        take_result()


def _class_edges(start: np.ndarray, size: np.ndarray, edge: int) -> np.ndarray:
    """Return the edges of the fewest groups of whole classes with at most `edge` items each."""
    ends = start + size
    edges = [0]
    while edges[-1] < ends[-1]:
        edges.append(int(ends[np.searchsorted(ends, edges[-1] + edge, side="right") - 1]))
    return np.array(edges)


def _own_tiles(columns: np.ndarray, group: np.ndarray, edge: int) -> Iterator[Tile]:
    for number, (left, right) in enumerate(pairwise(columns)):
        top, bottom = np.searchsorted(group, [number, number + 1])
        for first in range(top, bottom, edge):
            yield Tile(first, min(first + edge, bottom), left, right)


def _other_tiles(columns: np.ndarray, queries: int, edge: int, symmetric: bool) -> Iterator[Tile]:
    rows = columns if symmetric else np.append(np.arange(0, queries, edge), queries)
    for number, (top, bottom) in enumerate(pairwise(rows)):
        rest = columns[number + 1 :] if symmetric else columns
        for left, right in pairwise(rest):
            yield Tile(top, bottom, left, right)


def _product(task: Task, tile: Tile, workspace: _Workspace) -> np.ndarray:
    """Return the fast values of a tile, padded with -inf to a multiple of 8 columns."""
    height, width = tile.bottom - tile.top, tile.right - tile.left
    padded = -(-width // 8) * 8
    values = workspace.values[: height * padded].reshape(height, padded)
    values[:, width:] = -np.inf
    task.comparison.fast(*tile, values[:, :width])
    return values


def _start_queries(task: Task, candidates: Candidates, tile: Tile, values: np.ndarray) -> None:
    """Set the bounds of queries from the tile of their positives; leave only negatives in it."""
    layout, queries = task.layout, np.arange(tile.top, tile.bottom)
    depth = max(1, int(task.depth[queries].max()))  # 0 where all queries are lone
    number = layout.query_class[queries]
    size = layout.class_size[number]
    row = np.repeat(np.arange(len(number)), size)
    column = np.arange(len(row)) + np.repeat(
        layout.class_start[number] - (np.cumsum(size) - size), size
    )
    values[row, column - tile.left] = -np.inf
    nearest = _some_of_the_nearest(values, depth)
    candidates.start(queries, positives_of(task, queries), nearest)


def _some_of_the_nearest(values: np.ndarray, depth: int) -> np.ndarray:
    """Return values of `depth` of the best negatives of each row, ascending.

    Searches only the best of every eight columns, if that leaves enough of them.
    """
    best = values.reshape(len(values), 8, -1).max(axis=1)
    if best.shape[1] < 2 * depth:
        best = values
    depth = min(depth, best.shape[1])
    nearest = np.partition(best, best.shape[1] - depth, axis=1)[:, -depth:]
    nearest.sort(axis=1)
    return nearest
