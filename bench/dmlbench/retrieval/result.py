"""What an evaluation returns: averages, and the figures of every query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmlbench.errors import DataError

_COLLAPSED_SHARE = 0.99


@dataclass(frozen=True)
class PerQuery:
    """Figures of all queries ``[Q]``, in the order they were given; 0 where a query is lone."""

    relevant: np.ndarray
    """R: gallery items of the query's class without itself (int64)."""
    best_rank: np.ndarray
    """Rank of its best positive, counted from 1 (int64)."""
    hits: np.ndarray
    """Positives of rank R or better (int64)."""
    average_precision: np.ndarray
    """Its term of MAP@R (float64)."""
    ties: np.ndarray
    """Negatives within the tolerance of its best positive (int64)."""


@dataclass(frozen=True)
class RetrievalResult:
    """Averages over the queries that have a positive."""

    recall_at: dict[int, float]
    """k -> share of queries with a positive among the first k."""
    r_precision: float
    map_at_r: float
    queries: int
    """All queries, lone ones too."""
    lone_queries: int
    """Queries without a positive, left out of every average."""
    tied: float
    """Share of queries with a negative within the tolerance of the best positive."""
    collapsed: bool
    """Whether 99 % of the negatives or more are as similar as the best positive: a constant."""
    per_query: PerQuery


def summarise(per_query: PerQuery, recall_at: Sequence[int], gallery_size: int) -> RetrievalResult:
    """Average the figures of single queries.

    Raises:
        DataError: no query has a positive, so there is nothing to measure.
    """
    scored = per_query.relevant > 0
    if not scored.any():
        raise DataError(
            f"None of the {len(scored)} queries has another item of its class in the gallery: "
            "there is nothing to retrieve."
        )
    rank = per_query.best_rank[scored]
    relevant = per_query.relevant[scored]
    ties = per_query.ties[scored]
    negatives = gallery_size - 1 - relevant
    return RetrievalResult(
        recall_at={k: float(np.mean(rank <= k)) for k in recall_at},
        r_precision=float(np.mean(per_query.hits[scored] / relevant)),
        map_at_r=float(np.mean(per_query.average_precision[scored])),
        queries=len(scored),
        lone_queries=int(len(scored) - scored.sum()),
        tied=float(np.mean(ties > 0)),
        collapsed=bool(negatives.sum() > 0 and ties.sum() >= _COLLAPSED_SHARE * negatives.sum()),
        per_query=per_query,
    )
