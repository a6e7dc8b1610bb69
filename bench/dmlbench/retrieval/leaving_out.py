"""Ranking for queries that must not find some items: plain, in float64, in bounded memory.

The engines rank as if nothing were left out; here the queries that something is left out of are
ranked again, each by itself, which allows any exclusion and takes many times longer.

Products in float64 decide what their error allows, differences the rest, as in the engines.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dmlbench.errors import DataError
from dmlbench.retrieval.distances import Distance
from dmlbench.retrieval.engine.comparison import Comparison
from dmlbench.retrieval.engine.nearest import in_given_order
from dmlbench.retrieval.engine.pair_values import precise_blocks
from dmlbench.retrieval.engine.task import Task
from dmlbench.retrieval.exclusion import Exclusion
from dmlbench.retrieval.inputs import Inputs
from dmlbench.retrieval.results import PerQuery


def without_left_out(
    per_query: PerQuery,
    inputs: Inputs,
    exclusion: Exclusion,
    distance: Distance,
    tolerance: float,
    task: Task,
) -> PerQuery:
    """Return the figures with what `exclusion` says left out.

    Args:
        per_query: the figures with nothing left out.
        inputs: what they are of.
        exclusion: what to leave out.
        distance: how to compare embeddings.
        tolerance: see `evaluate`.
        task: which figures there are, and the working memory.

    Raises:
        DataError: no query has a positive that is not left out.
    """
    found = deepcopy(per_query)
    ranks = None
    if found.positive_ranks is not None:
        ranks = np.split(found.positive_ranks, np.cumsum(found.relevant)[:-1])
    again = exclusion.affected(inputs.self_index)
    comparison = in_given_order(inputs, distance, tolerance, task.memory // 2)
    for query, positive, negative in _candidates(inputs, exclusion, again, comparison, task.memory):
        rank, ties = _ranks(comparison, query, positive, negative)
        relevant = len(rank)
        precision = np.arange(1, relevant + 1) / rank
        hit = rank <= relevant
        found.relevant[query] = relevant
        found.negatives[query] = len(negative.item) if relevant else 0
        found.best_rank[query] = rank[0] if relevant else 0
        found.hits[query] = hit.sum()
        found.average_precision[query] = precision[hit].sum() / max(1, relevant)
        found.ties[query] = ties
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


class _Items(NamedTuple):
    """Some gallery items, and their values to a query by products."""

    item: np.ndarray
    value: np.ndarray


def _candidates(
    inputs: Inputs, exclusion: Exclusion, queries: np.ndarray, comparison: Comparison, memory: int
) -> Iterator[tuple[int, _Items, _Items]]:
    """Yield each query with its positives and its negatives."""
    for some, block in precise_blocks(inputs, comparison, memory // 2, queries):
        kept = ~exclusion.of(some)
        own = inputs.self_index[some]
        here = np.flatnonzero(own >= 0)
        kept[here, own[here]] = False
        same = inputs.gallery_labels == inputs.labels[some, None]
        for row, query in enumerate(some.tolist()):
            positive = np.flatnonzero(kept[row] & same[row])
            negative = np.flatnonzero(kept[row] & ~same[row])
            yield (
                query,
                _Items(positive, block[row, positive]),
                _Items(negative, block[row, negative]),
            )


def _ranks(
    comparison: Comparison, query: int, positive: _Items, negative: _Items
) -> tuple[np.ndarray, int]:
    """Return the rank of each positive, best first, and how many negatives tie with the best."""
    if not len(positive.item):
        return np.empty(0, np.int64), 0
    ours = comparison.exact(np.full(len(positive.item), query), positive.item)
    worst = np.array([ours.value.min()])
    slack = comparison.queries.precise_slack[query] + comparison.gallery.precise_slack.max()
    tie = float(comparison.tie(np.array([query]), worst, np.array([slack]))[0])
    reach = 2 * slack + tie + comparison.tolerance
    ordered = np.sort(ours.value)
    near = ordered.searchsorted(negative.value - reach) < ordered.searchsorted(
        negative.value + reach, side="right"
    )
    high, low = negative.value.copy(), negative.value.copy()
    theirs = comparison.exact(np.full(int(near.sum()), query), negative.item[near])
    high[near], low[near] = theirs.value + theirs.rounding, theirs.value - theirs.rounding
    least = np.sort(ours.value - ours.rounding)[::-1] - comparison.tolerance
    ahead = len(high) - np.sort(high).searchsorted(least)
    most = (ours.value + ours.rounding).max() + comparison.tolerance
    return np.arange(1, len(least) + 1) + ahead, int(((high >= least[0]) & (low <= most)).sum())
