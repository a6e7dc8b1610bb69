"""The definitions of the retrieval metrics, applied pair by pair in plain loops."""

from dataclasses import dataclass

import numpy as np

from dmlbench.retrieval import PerQuery


@dataclass
class Expected:
    """What the definitions say of one query."""

    relevant: int = 0
    negatives: int = 0
    best_rank: int = 0
    hits: int = 0
    average_precision: float = 0.0
    ties: int = 0
    whole_average_precision: float = 0.0
    ranks: tuple[int, ...] = ()


def ranks_by_counting(positive, negative, tolerance) -> list[int]:
    """Return the rank of each positive, the best first: its place plus the negatives above it."""
    return [
        place + sum(other >= value - tolerance for other in negative)
        for place, value in enumerate(sorted(positive, reverse=True), start=1)
    ]


def rank_by_loops(
    similarity, labels, gallery_labels, own, tolerance, left_out=None
) -> list[Expected]:
    """Return what the definitions say of given similarities ``[Q, G]``, in float64.

    `left_out` says which items no ranking of a query has ``[Q, G]``.
    """
    result = []
    for query, row in enumerate(np.asarray(similarity, np.float64)):
        positive, negative = [], []
        for item, value in enumerate(row):
            if left_out is not None and left_out[query, item]:
                continue
            if gallery_labels[item] != labels[query]:
                negative.append(value)
            elif item != own[query]:
                positive.append(value)
        relevant = len(positive)
        if relevant == 0:
            result.append(Expected())
            continue
        best = max(positive)
        ranks = ranks_by_counting(positive, negative, tolerance)
        precisions = [place / rank for place, rank in enumerate(ranks, start=1)]
        hits = [rank <= relevant for rank in ranks]
        result.append(
            Expected(
                relevant=relevant,
                negatives=len(negative),
                best_rank=ranks[0],
                hits=sum(hits),
                average_precision=sum(p for p, hit in zip(precisions, hits, strict=True) if hit)
                / relevant,
                ties=sum(best - tolerance <= other <= best + tolerance for other in negative),
                whole_average_precision=sum(precisions) / relevant,
                ranks=tuple(ranks),
            )
        )
    return result


def require_equal(per_query: PerQuery, expected: list[Expected]) -> None:
    """Compare what was measured for each query with what the definitions say of it."""

    def of_all(name):
        return [getattr(query, name) for query in expected]

    for name in ("relevant", "negatives", "best_rank", "hits", "ties"):
        np.testing.assert_array_equal(getattr(per_query, name), of_all(name), err_msg=name)
    for k, hits in per_query.hits_at.items():
        np.testing.assert_array_equal(hits, [sum(r <= k for r in q.ranks) for q in expected])
    for name in ("average_precision", "whole_average_precision"):
        if getattr(per_query, name) is not None:
            np.testing.assert_allclose(
                getattr(per_query, name), of_all(name), rtol=0, atol=1e-12, err_msg=name
            )
    if per_query.positive_ranks is not None:
        ranks = [rank for query in expected for rank in query.ranks]
        assert per_query.positive_ranks.tolist() == ranks
