"""An oracle of plain loops, and a way to have each engine at sizes where loops are quick."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from dmlbench.retrieval import Distance, Maps, PerQuery
from dmlbench.retrieval.engine import choice, query_block, similarity_rows


@dataclass
class Expected:
    """What the definitions say of one query."""

    relevant: int = 0
    best_rank: int = 0
    hits: int = 0
    average_precision: float = 0.0
    ties: int = 0
    whole_average_precision: float = 0.0
    ranks: tuple[int, ...] = ()


def rank_by_loops(similarity, labels, gallery_labels, own, tolerance) -> list[Expected]:
    """Apply the definitions, pair by pair, to given similarities ``[Q, G]`` in float64."""
    result = []
    for query, row in enumerate(np.asarray(similarity, np.float64)):
        positive, negative = [], []
        for item, value in enumerate(row):
            if gallery_labels[item] != labels[query]:
                negative.append(value)
            elif item != own[query]:
                positive.append(value)
        positive.sort(reverse=True)
        relevant = len(positive)
        if relevant == 0:
            result.append(Expected())
            continue
        ranks = [
            j + sum(n >= value - tolerance for n in negative)
            for j, value in enumerate(positive, start=1)
        ]
        result.append(
            Expected(
                relevant=relevant,
                best_rank=ranks[0],
                hits=sum(rank <= relevant for rank in ranks),
                average_precision=sum(
                    j / rank for j, rank in enumerate(ranks, 1) if rank <= relevant
                )
                / relevant,
                ties=sum(positive[0] - tolerance <= n <= positive[0] + tolerance for n in negative),
                whole_average_precision=sum(j / rank for j, rank in enumerate(ranks, 1)) / relevant,
                ranks=tuple(ranks),
            )
        )
    return result


@pytest.fixture(scope="session")
def oracle() -> Callable[..., list[Expected]]:
    return rank_by_loops


class InnerProduct(Distance):
    """Similarity x.y: exact in float32 for small dyadic vectors, so that oracles see the same."""

    name = "inner-product"

    def __init__(self, symmetric: bool = True) -> None:
        self.symmetric = symmetric

    def fit(self, queries, gallery):
        def same(rows):
            return rows.astype(np.float64)

        return Maps(same, same, symmetric=self.symmetric)


@pytest.fixture(scope="session")
def inner_product() -> type[InnerProduct]:
    return InnerProduct


@contextmanager
def forced_engine(name: str, *, edge: int = 2040, listed: int = 32, columns: int = 16384):
    """Take one engine whatever the data; `edge`, `listed` and `columns` make its parts tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "LARGEST_WIDTH", edge)
        patch.setattr(choice, "_deepest_for_tiles", lambda _: np.inf if name == "tiles" else -1)
        patch.setattr(choice, "_BYTES_PER_LISTED_NEGATIVE", 0)
        patch.setattr(similarity_rows, "_COLUMNS", columns)
        patch.setattr(similarity_rows, "_EDGE_OVER_KEPT", 0 if name == "pairs" else np.inf)
        patch.setattr(similarity_rows, "_LARGEST_EDGE", edge)
        patch.setattr(query_block, "_COLUMNS_A_PRODUCT", min(columns, 7))
        patch.setattr(similarity_rows, "_MOST_ROWS", columns)
        patch.setattr("dmlbench.retrieval.engine.candidates._BYTES_PER_LISTED_NEGATIVE", listed)
        if name == "torch":
            from dmlbench.retrieval.engine.torch_blocks import rank_on_device

            patch.setattr(
                "dmlbench.retrieval.evaluation.rank",
                lambda task, *_: rank_on_device(task, torch.device("cpu"), torch.float32),
            )
        yield


@pytest.fixture(scope="session")
def forced() -> Callable[..., Iterator[None]]:
    return forced_engine


def assert_equals_oracle(per_query: PerQuery, expected: list[Expected]) -> None:
    for name in ("relevant", "best_rank", "hits", "ties"):
        got = getattr(per_query, name).tolist()
        assert got == [getattr(query, name) for query in expected], name
    np.testing.assert_allclose(
        per_query.average_precision, [q.average_precision for q in expected], rtol=0, atol=1e-12
    )
    for k, hits in per_query.hits_at.items():
        assert hits.tolist() == [sum(rank <= k for rank in q.ranks) for q in expected]
    if per_query.whole_average_precision is not None:
        np.testing.assert_allclose(
            per_query.whole_average_precision,
            [q.whole_average_precision for q in expected],
            rtol=0,
            atol=1e-12,
        )


@pytest.fixture(scope="session")
def assert_matches() -> Callable[[PerQuery, list[Expected]], None]:
    return assert_equals_oracle
