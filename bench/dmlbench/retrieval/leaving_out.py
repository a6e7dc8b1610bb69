"""Ranking for queries that must not find some items: plain, in float64, in bounded memory.

The engines rank as if nothing were left out; here the queries that something is left out of are
ranked again, each by itself, which allows any exclusion and takes many times longer.

Similarities are taken to the difference from one gallery item, q . (g - g0): this moves those of a
query by the same number, and keeps the digits that tell near items apart. They are summed pair by
pair, without a matrix product, so that equal items are equally similar to the bit.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np

from dmlbench.errors import DataError
from dmlbench.retrieval.distances import Distance
from dmlbench.retrieval.engine.task import Task
from dmlbench.retrieval.exclusion import Exclusion
from dmlbench.retrieval.inputs import Inputs
from dmlbench.retrieval.results import PerQuery

_MOST_ROWS = 256
_BYTES_MAPPED_AT_ONCE = 2**20


def without_left_out(
    per_query: PerQuery, inputs: Inputs, exclusion: Exclusion, distance: Distance, task: Task
) -> PerQuery:
    """Return the figures with what `exclusion` says left out.

    Args:
        per_query: the figures with nothing left out.
        inputs: what they are of.
        exclusion: what to leave out.
        distance: how to compare embeddings.
        task: which figures there are, what counts as a tie, and the working memory.

    Raises:
        DataError: no query has a positive that is not left out.
    """
    found = deepcopy(per_query)
    ranks = None
    if found.positive_ranks is not None:
        ranks = np.split(found.positive_ranks, np.cumsum(found.relevant)[:-1])
    again = exclusion.affected(inputs.self_index)
    for query, positive, negative in _candidates(inputs, exclusion, again, distance, task.memory):
        rank = _ranks(positive, negative, task.tolerance)
        relevant = len(rank)
        precision = np.arange(1, relevant + 1) / rank
        hit = rank <= relevant
        found.relevant[query] = relevant
        found.negatives[query] = len(negative) if relevant else 0
        found.best_rank[query] = rank[0] if relevant else 0
        found.hits[query] = hit.sum()
        found.average_precision[query] = precision[hit].sum() / max(1, relevant)
        found.ties[query] = _ties(positive.max(), negative, task.tolerance) if relevant else 0
        for k, hits in found.hits_at.items():
            hits[query] = (rank <= k).sum()
        if found.whole_average_precision is not None:
            found.whole_average_precision[query] = precision.sum() / max(1, relevant)
        if ranks is not None:
            ranks[query] = rank.astype(np.int32)
    if not found.relevant.any():
        raise DataError(
            f"None of the {len(inputs.queries)} queries has another item of its class in the "
            "gallery that is not left out: there is nothing to retrieve."
        )
    return found if ranks is None else replace(found, positive_ranks=np.concatenate(ranks))


def _candidates(
    inputs: Inputs, exclusion: Exclusion, queries: np.ndarray, distance: Distance, memory: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each query with the similarities of its positives and, sorted, of its negatives."""
    for some, block in _similarities(inputs, queries, distance, memory):
        kept = ~exclusion.of(some)
        own = inputs.self_index[some]
        here = np.flatnonzero(own >= 0)
        kept[here, own[here]] = False
        same = inputs.gallery_labels == inputs.labels[some, None]
        for row, query in enumerate(some.tolist()):
            positive = block[row, kept[row] & same[row]]
            negative = block[row, kept[row] & ~same[row]]
            negative.sort()
            yield query, positive, negative


def _similarities(
    inputs: Inputs, queries: np.ndarray, distance: Distance, memory: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield some queries and their similarities ``[b, G]``, each query's less a number of its own.

    The next block overwrites the array.
    """
    maps = distance.fit(inputs.queries, inputs.gallery)
    origin = maps.gallery(inputs.gallery[:1])
    items, step = len(inputs.gallery), max(1, _BYTES_MAPPED_AT_ONCE // origin.nbytes)
    buffer = np.empty((int(np.clip(memory // (16 * items), 1, _MOST_ROWS)), items))
    for start in range(0, len(queries), len(buffer)):
        some = queries[start : start + len(buffer)]
        vectors = maps.query(inputs.queries[some])
        block = buffer[: len(some)]
        for first in range(0, items, step):
            part = slice(first, first + step)
            near = maps.gallery(inputs.gallery[part]) - origin
            np.einsum("qd,gd->qg", vectors, near, out=block[:, part])
        yield some, block


def _ranks(positive: np.ndarray, negative: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the rank of each positive, best first; a negative that is tied comes before it."""
    best_first = np.sort(positive)[::-1]
    above = len(negative) - np.searchsorted(negative, best_first - tolerance)
    ranks: np.ndarray = np.arange(1, len(positive) + 1) + above
    return ranks


def _ties(best: float, negative: np.ndarray, tolerance: float) -> int:
    """Return how many sorted negatives are tied with the best positive."""
    last = np.searchsorted(negative, best + tolerance, side="right")
    return int(last - np.searchsorted(negative, best - tolerance))
