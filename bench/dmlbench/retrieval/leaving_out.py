"""Ranking where some queries must not find some items: plain, in float64, in bounded memory.

Every query's similarities are computed by themselves and its negatives sorted, so any exclusion is
possible; where there is none, the engines do the same several times faster.

Similarities are taken to the difference from one gallery item, q . (g - g0): this moves those of a
query by the same number, and keeps the digits that tell near items apart. They are summed pair by
pair, without a matrix product, so that equal items are equally similar to the bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dmlbench.errors import DataError
from dmlbench.retrieval.distances import Distance
from dmlbench.retrieval.inputs import Inputs
from dmlbench.retrieval.results import PerQuery

_MOST_ROWS = 256
_BYTES_MAPPED_AT_ONCE = 2**20


@dataclass(frozen=True)
class Asked:
    """Which figures, and what counts as a tie; the fields are those of the engines' `Task`."""

    tolerance: float
    precision_at: tuple[int, ...]
    whole_ranking: bool
    keep_ranks: bool
    memory: int
    """Bytes of working memory."""


def rank_leaving_out(inputs: Inputs, distance: Distance, asked: Asked) -> PerQuery:
    """Return the figures of every query, what `inputs` exclude being left out of its ranking.

    Raises:
        DataError: no query has a positive that is not left out.
    """
    total = len(inputs.queries)
    relevant, negatives, best_rank, hits, ties = np.zeros((5, total), np.int64)
    average_precision, whole_average_precision = np.zeros((2, total))
    hits_at = {k: np.zeros(total, np.int64) for k in asked.precision_at}
    ranks: list[np.ndarray] = []
    for query, positive, negative in _candidates(inputs, distance, asked.memory):
        if not len(positive):
            continue
        rank = _ranks(positive, negative, asked.tolerance)
        precision = np.arange(1, len(rank) + 1) / rank
        hit = rank <= len(rank)
        relevant[query], negatives[query] = len(positive), len(negative)
        best_rank[query], hits[query] = rank[0], hit.sum()
        ties[query] = _ties(positive.max(), negative, asked.tolerance)
        average_precision[query] = precision[hit].sum() / len(rank)
        whole_average_precision[query] = precision.mean()
        for k, found in hits_at.items():
            found[query] = (rank <= k).sum()
        if asked.keep_ranks:
            ranks.append(rank.astype(np.int32))
    if not relevant.any():
        raise DataError(
            f"None of the {total} queries has another item of its class in the gallery that is not "
            "left out: there is nothing to retrieve."
        )
    return PerQuery(
        relevant=relevant,
        negatives=negatives,
        best_rank=best_rank,
        hits=hits,
        average_precision=average_precision,
        ties=ties,
        hits_at=hits_at,
        whole_average_precision=whole_average_precision if asked.whole_ranking else None,
        positive_ranks=np.concatenate(ranks) if asked.keep_ranks else None,
    )


def _candidates(
    inputs: Inputs, distance: Distance, memory: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each query with the similarities of its positives and, sorted, of its negatives."""
    assert inputs.exclusion is not None
    for rows, block in _similarities(inputs, distance, memory):
        kept = ~inputs.exclusion.of(rows)
        own = inputs.self_index[rows]
        here = np.flatnonzero(own >= 0)
        kept[here, own[here]] = False
        same = inputs.gallery_labels == inputs.labels[rows, None]
        for row, query in enumerate(range(rows.start, rows.stop)):
            positive = block[row, kept[row] & same[row]]
            negative = block[row, kept[row] & ~same[row]]
            negative.sort()
            yield query, positive, negative


def _similarities(
    inputs: Inputs, distance: Distance, memory: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield some queries and their similarities ``[b, G]``, each query's less a number of its own.

    The next block overwrites the array.
    """
    maps = distance.fit(inputs.queries, inputs.gallery)
    origin = maps.gallery(inputs.gallery[:1])
    items, step = len(inputs.gallery), max(1, _BYTES_MAPPED_AT_ONCE // origin.nbytes)
    buffer = np.empty((int(np.clip(memory // (16 * items), 1, _MOST_ROWS)), items))
    for start in range(0, len(inputs.queries), len(buffer)):
        rows = slice(start, min(start + len(buffer), len(inputs.queries)))
        vectors = maps.query(inputs.queries[rows])
        block = buffer[: len(vectors)]
        for first in range(0, items, step):
            part = slice(first, first + step)
            near = maps.gallery(inputs.gallery[part]) - origin
            np.einsum("qd,gd->qg", vectors, near, out=block[:, part])
        yield rows, block


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
