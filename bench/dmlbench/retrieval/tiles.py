"""Ranks from tiles of similarities between groups of whole classes.

The way for small classes. All positives of a query lie in the one tile that its own class is in; it
is looked at first and gives every query a bound, below which negatives don't matter. Of the other
tiles, two sets that are the same need one half, each tile serving its rows and its columns.
"""

import threading
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np

from dmlbench.retrieval.candidates import Candidates
from dmlbench.retrieval.products import workers
from dmlbench.retrieval.task import Figures, Task
from dmlbench.retrieval.thresholds import pack

# 255 words of 8 bytes: as many as can be added before a byte overflows, see `_count`.
LARGEST_TILE = 2040
_STRIP = 255
_TILES_A_ROUND = 128


class Tile(NamedTuple):
    """Queries `top` to `bottom` against gallery items `left` to `right`."""

    top: int
    bottom: int
    left: int
    right: int


class Found(NamedTuple):
    """What a tile holds for queries `first` to `last`; see `Candidates.add`."""

    first: int
    last: int
    at_bound: np.ndarray
    beyond: np.ndarray
    listed: np.ndarray


class _Workspace(threading.local):
    """Buffers of one thread."""

    def __init__(self, rows: int, columns: int) -> None:
        self.similarity = np.empty(rows * (columns + 7), np.float32)
        self.mask = np.empty(_STRIP * (columns + 7), bool)


def rank_by_tiles(task: Task, edge: int) -> Figures:
    """Return the figures of every query of the layout.

    Args:
        task: what to measure.
        edge: largest side of a tile; no class may be larger, nor may it exceed `LARGEST_TILE`.
    """
    columns = _class_edges(task.layout.class_start, task.layout.class_size, edge)
    group = np.searchsorted(columns, task.layout.class_start[task.layout.query_class], "right") - 1
    candidates = Candidates(task)
    workspace = _Workspace(edge, edge)

    def own_tile(tile: Tile) -> list[Found]:
        return [_start_queries(task, candidates, tile, workspace)]

    def other_tile(tile: Tile) -> list[Found]:
        similarity = _product(task, tile, workspace)
        own = group[tile.top : tile.bottom] == np.searchsorted(columns, tile.left)
        found = [_sweep_rows(similarity, tile.top, candidates, own, workspace)]
        if task.symmetric:
            width = tile.right - tile.left
            found.append(_sweep_columns(similarity, width, tile.left, candidates, workspace))
        return found

    with workers(task.memory // 2 // (5 * edge * edge)) as parallel:
        for work, tiles in (
            (own_tile, _own_tiles(columns, group, edge)),
            (other_tile, _other_tiles(columns, group, edge, task.symmetric)),
        ):
            while some := list(islice(tiles, _TILES_A_ROUND)):
                for found in parallel(work, some):
                    for part in found:
                        candidates.add(*part)
                candidates.shorten_if_long()
    return candidates.figures()


def _class_edges(start: np.ndarray, size: np.ndarray, edge: int) -> np.ndarray:
    """Return the edges of the fewest groups of whole classes with `edge` items at most each."""
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


def _other_tiles(
    columns: np.ndarray, group: np.ndarray, edge: int, symmetric: bool
) -> Iterator[Tile]:
    rows = columns if symmetric else np.append(np.arange(0, len(group), edge), len(group))
    for number, (top, bottom) in enumerate(pairwise(rows)):
        rest = columns[number + 1 :] if symmetric else columns
        for left, right in pairwise(rest):
            yield Tile(top, bottom, left, right)


def _product(task: Task, tile: Tile, workspace: _Workspace) -> np.ndarray:
    """Return the similarities of a tile, filled up with -inf to a multiple of 8 columns."""
    height, width = tile.bottom - tile.top, tile.right - tile.left
    padded = -(-width // 8) * 8
    similarity = workspace.similarity[: height * padded].reshape(height, padded)
    similarity[:, width:] = -np.inf
    task.multiply(
        task.queries.part(tile.top, tile.bottom),
        task.gallery.part(tile.left, tile.right),
        similarity[:, :width],
    )
    return similarity


def _start_queries(task: Task, candidates: Candidates, tile: Tile, workspace: _Workspace) -> Found:
    """Set the bounds of queries by the tile that holds their positives, then sweep it."""
    layout, queries = task.layout, slice(tile.top, tile.bottom)
    similarity = _product(task, tile, workspace)
    number = layout.query_class[queries]
    size = layout.class_size[number]
    row = np.repeat(np.arange(len(number)), size)
    column = np.arange(len(row)) + np.repeat(
        layout.class_start[number] - (np.cumsum(size) - size), size
    )
    value = similarity[row, column - tile.left]
    similarity[row, column - tile.left] = -np.inf
    other = column != layout.own_position[queries][row]
    positive = pack(tile.top + row[other], value[other])
    positive.sort()

    width = tile.right - tile.left
    deepest = min(int(task.depth[queries].max()), width)
    nearest = np.partition(similarity, similarity.shape[1] - deepest, axis=1)[:, -deepest:]
    nearest.sort(axis=1)
    candidates.start(tile.top, tile.bottom, positive, nearest)
    nothing_to_skip = np.zeros(len(number), dtype=bool)
    return _sweep_rows(similarity, tile.top, candidates, nothing_to_skip, workspace)


def _sweep_rows(
    similarity: np.ndarray,
    first: int,
    candidates: Candidates,
    skipped: np.ndarray,
    workspace: _Workspace,
) -> Found:
    """Count and list the negatives of the queries in the rows, but for `skipped` ones."""
    height, width = similarity.shape
    queries = slice(first, first + height)
    counting = candidates.counting[queries]
    bound = np.where(skipped, np.inf, candidates.bound[queries]).astype(np.float32)
    beyond = np.where(skipped, np.inf, candidates.beyond[queries]).astype(np.float32)
    at_bound = np.zeros(height, np.int64)
    past_tie = np.zeros(height, np.int64)
    keys = []
    for start in range(0, height, _STRIP):
        strip = slice(start, min(start + _STRIP, height))
        block, some = similarity[strip], counting[strip]
        mask = workspace.mask[: block.size].reshape(block.shape)
        if some.any():
            np.greater_equal(block, beyond[strip, None], out=mask)
            past_tie[strip] = _count_rows(mask)
        np.greater_equal(block, bound[strip, None], out=mask)
        if some.any():
            at_bound[strip] = _count_rows(mask)
            mask[some] = False
        place = np.flatnonzero(mask)
        keys.append(pack(first + start + place // width, block.ravel()[place]))
    return Found(first, first + height, at_bound, past_tie, np.concatenate(keys))


def _sweep_columns(
    similarity: np.ndarray, width: int, first: int, candidates: Candidates, workspace: _Workspace
) -> Found:
    """Count and list the negatives of the queries in the first `width` columns."""
    height, padded = similarity.shape
    queries = slice(first, first + width)
    bound, beyond = np.full((2, padded), np.inf, np.float32)
    bound[:width] = candidates.bound[queries]
    beyond[:width] = candidates.beyond[queries]
    listing = np.zeros(padded, dtype=bool)
    listing[:width] = ~candidates.counting[queries]
    some = bool(candidates.counting[queries].any())
    at_bound = np.zeros(padded, np.int64)
    past_tie = np.zeros(padded, np.int64)
    keys = []
    for start in range(0, height, _STRIP):
        block = similarity[start : start + _STRIP]
        mask = workspace.mask[: block.size].reshape(block.shape)
        if some:
            np.greater_equal(block, beyond, out=mask)
            past_tie += _count_columns(mask)
        np.greater_equal(block, bound, out=mask)
        if some:
            at_bound += _count_columns(mask)
            np.logical_and(mask, listing, out=mask)
        place = np.flatnonzero(mask)
        keys.append(pack(first + place % padded, block.ravel()[place]))
    return Found(first, first + width, at_bound[:width], past_tie[:width], np.concatenate(keys))


def _count_rows(mask: np.ndarray) -> np.ndarray:
    """Count the true entries of each row ``[n, 8 m]``, m below 256: eight bytes added at a time."""
    words = np.add.reduce(mask.view(np.uint64), axis=1)
    counts: np.ndarray = words[:, None].view(np.uint8).sum(axis=1, dtype=np.int64)
    return counts


def _count_columns(mask: np.ndarray) -> np.ndarray:
    """Count the true entries of each column of up to 255 rows, in bytes."""
    counts: np.ndarray = np.add.reduce(mask.view(np.uint8), axis=0, dtype=np.uint8)
    return counts
