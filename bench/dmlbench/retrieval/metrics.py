"""What an evaluation returns: averages, and the figures of every query."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

_COLLAPSED_SHARE = 0.99


@dataclass(frozen=True)
class PerQuery:
    """Figures of all queries ``[Q]``, in the order they were given; 0 where a query is lone."""

    relevant: np.ndarray
    """R: gallery items of the query's class without itself (int64)."""
    negatives: np.ndarray
    """Gallery items of other classes (int64)."""
    best_rank: np.ndarray
    """Rank of its best positive, counted from 1 (int64)."""
    hits: np.ndarray
    """Positives of rank R or better (int64)."""
    average_precision: np.ndarray
    """Its term of MAP@R (float64)."""
    ties: np.ndarray
    """Negatives within the tolerance of its best positive (int64)."""
    hits_at: dict[int, np.ndarray]
    """k -> positives of rank k or better (int64), for the k asked for."""
    whole_average_precision: np.ndarray | None
    """Average precision of its whole ranking (float64), if asked for."""


@dataclass(frozen=True)
class Averages:
    """Averages over the queries that have a positive."""

    recall_at: dict[int, float]
    """k -> share of queries with a positive of rank k or better."""
    r_precision: float
    """Mean of the hits in the first R, over R."""
    map_at_r: float
    """Mean of (1/R) sum of j / rank_j over the positives of rank R or better."""
    mean_reciprocal_rank: float
    """Mean of 1 / rank of the best positive."""
    precision_at: dict[int, float]
    """k -> mean share of positives among the first k, for the k asked for."""
    mean_average_precision: float | None
    """Mean of (1/R) sum of j / rank_j over all positives, if asked for."""


@dataclass(frozen=True)
class RetrievalResult(Averages):
    """Averages over queries, with what is needed to judge them."""

    queries: int
    """All queries, lone ones too."""
    lone_queries: int
    """Queries without a positive, left out of every average."""
    tied: float
    """Share of the scored queries with a negative within the tolerance of the best positive."""
    collapsed: bool
    """Whether 99 % of the negatives are as similar as the best positive: all embeddings one."""
    per_class: Averages
    """The same averages with every class counted alike, however many queries it has."""
    per_query: PerQuery = field(repr=False)


def summarise(per_query: PerQuery, labels: np.ndarray, recall_at: Sequence[int]) -> RetrievalResult:
    """Average the figures of single queries, of which one at least has a positive."""
    scored = per_query.relevant > 0
    number, size = np.unique(labels[scored], return_inverse=True, return_counts=True)[1:]

    def over_queries(values: np.ndarray) -> float:
        return float(np.mean(values))

    def over_classes(values: np.ndarray) -> float:
        return float(np.mean(np.bincount(number, values) / size))

    ties, negatives = per_query.ties[scored], int(per_query.negatives[scored].sum())
    return RetrievalResult(
        **vars(_average(per_query, scored, over_queries, recall_at)),
        queries=len(scored),
        lone_queries=int(len(scored) - scored.sum()),
        tied=float(np.mean(ties > 0)),
        collapsed=bool(negatives > 0 and ties.sum() >= _COLLAPSED_SHARE * negatives),
        per_class=_average(per_query, scored, over_classes, recall_at),
        per_query=per_query,
    )


def _average(
    per_query: PerQuery,
    scored: np.ndarray,
    mean: Callable[[np.ndarray], float],
    recall_at: Sequence[int],
) -> Averages:
    rank = per_query.best_rank[scored]

    whole = per_query.whole_average_precision
    return Averages(
        recall_at={k: mean(rank <= k) for k in recall_at},
        r_precision=mean(per_query.hits[scored] / per_query.relevant[scored]),
        map_at_r=mean(per_query.average_precision[scored]),
        mean_reciprocal_rank=mean(1 / rank),
        precision_at={k: mean(hits[scored] / k) for k, hits in per_query.hits_at.items()},
        mean_average_precision=None if whole is None else mean(whole[scored]),
    )
