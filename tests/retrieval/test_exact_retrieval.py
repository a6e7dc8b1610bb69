"""Every engine against plain loops over the very same similarities."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.retrieval_engines import ENGINES, InnerProduct, forced_engine
from support.retrieval_loops import rank_by_loops, require_equal

from dmlbench import DataError, retrieval
from dmlbench.retrieval import Metric


@dataclass
class Case:
    """A query/gallery problem whose inner products are exact in float32."""

    queries: np.ndarray
    labels: np.ndarray
    gallery: np.ndarray
    gallery_labels: np.ndarray
    own: np.ndarray
    self_retrieval: bool
    tolerance: float
    edge: int
    columns: int
    listed: int
    products: str
    precision_at: tuple[int, ...]


@st.composite
def cases(draw) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dimension = draw(st.sampled_from([1, 2, 5, 16]))
    classes = draw(st.integers(1, 12))
    levels = draw(st.sampled_from([1, 2, 8, 64]))  # few levels: duplicates and ties everywhere
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16, np.int8]))

    def points(total):
        values = rng.integers(-levels, levels + 1, (total, dimension))
        return (values if dtype is np.int8 else values / 64).astype(dtype)

    items = draw(st.integers(1, 50))
    gallery = points(items)
    if draw(st.booleans()):
        gallery[:] = gallery[0]
    gallery_labels = rng.integers(0, classes, items) * 7 - 3
    lone = draw(st.integers(0, items))  # in a row: whole tiles and blocks without a positive
    alone = draw(st.sampled_from([-1, 1])) * np.arange(1000, 1000 + lone)
    gallery_labels[rng.permutation(items)[:lone]] = alone
    self_retrieval = draw(st.booleans())
    if self_retrieval:
        queries, labels, own = gallery, gallery_labels, np.arange(items)
    else:
        total = draw(st.integers(1, 30))
        queries, labels = points(total), rng.integers(0, classes + 1, total) * 7 - 3
        own = np.full(total, -1)
        for query in np.flatnonzero(rng.random(total) < draw(st.sampled_from([0, 0.7, 1]))):
            own[query] = rng.integers(items)
            queries[query], labels[query] = gallery[own[query]], gallery_labels[own[query]]
    return Case(
        queries,
        labels,
        gallery,
        gallery_labels,
        own,
        self_retrieval,
        tolerance=draw(st.sampled_from([0.0, 1e-6, 1 / 4096, 0.1])),
        edge=draw(st.sampled_from([51, 24, 9])),
        columns=draw(st.sampled_from([60, 16, 5])),
        listed=draw(st.sampled_from([32, 2**24, 2**27])),
        products=draw(st.sampled_from(["numpy", "torch"])),
        precision_at=draw(st.sampled_from([(), (1, 3)])),
    )


class NDCG(Metric):
    """A metric of somebody else, which needs the rank of every positive."""

    title = "nDCG"
    needs = frozenset({"relevant", "positive_ranks"})

    def by_query(self, arrays):
        relevant = arrays["relevant"]
        query = np.repeat(np.arange(len(relevant)), relevant)
        gains = np.bincount(query, 1 / np.log2(1 + arrays["positive_ranks"]))
        ideal = np.cumsum(1 / np.log2(np.arange(2, relevant.max() + 2)))
        return gains / ideal[relevant - 1]


def check(case: Case, engine: str) -> None:
    similarity = case.queries.astype(np.float64) @ case.gallery.astype(np.float64).T
    expected = rank_by_loops(similarity, case.labels, case.gallery_labels, case.own, case.tolerance)
    gallery = () if case.self_retrieval else (case.gallery, case.gallery_labels)
    with forced_engine(engine, edge=case.edge, listed=case.listed, columns=case.columns):
        for symmetric in {True, not case.self_retrieval}:
            arguments = {
                "self_index": None if case.self_retrieval else case.own,
                "precision_at": case.precision_at,
                "mean_average_precision": engine != "tiles",
                "metrics": {} if engine == "tiles" else {"ndcg": NDCG()},
                "distance": InnerProduct(symmetric),
                "tolerance": case.tolerance,
                "products": case.products,
            }
            if not any(query.relevant for query in expected):
                with pytest.raises(DataError, match="nothing to retrieve"):
                    retrieval.evaluate(case.queries, case.labels, *gallery, **arguments)
                return
            result = retrieval.evaluate(case.queries, case.labels, *gallery, **arguments)
            require_equal(result.per_query, expected)

    scored = [query for query in expected if query.relevant]
    assert result.queries == len(expected)
    assert result.lone_queries == len(expected) - len(scored)
    if engine != "tiles":
        gains = [sum(1 / np.log2(1 + rank) for rank in q.ranks) for q in scored]
        most = [sum(1 / np.log2(2 + place) for place in range(q.relevant)) for q in scored]
        wanted = np.mean(np.divide(gains, most))
        assert result.metrics["ndcg"] == pytest.approx(wanted, abs=1e-12)
    for value, wanted in (
        (result.recall_at[1], np.mean([q.best_rank <= 1 for q in scored])),
        (result.recall_at[10], np.mean([q.best_rank <= 10 for q in scored])),
        (result.r_precision, np.mean([q.hits / q.relevant for q in scored])),
        (result.map_at_r, np.mean([q.average_precision for q in scored])),
        (result.mean_reciprocal_rank, np.mean([1 / q.best_rank for q in scored])),
        *(
            (value, np.mean([sum(r <= k for r in q.ranks) / k for q in scored]))
            for k, value in result.precision_at.items()
        ),
        (result.tied, np.mean([q.ties > 0 for q in scored])),
    ):
        assert value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_every_figure_is_that_of_plain_loops(engine, case):
    check(case, engine)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_every_figure_is_that_of_plain_loops_on_hundreds_of_cases(engine, case):
    check(case, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_products_that_are_all_zero_tie(engine):
    with forced_engine(engine):
        found = retrieval.evaluate(
            np.zeros((3, 1), np.float32), [4, -3, -3], distance=InnerProduct()
        )
    assert found.per_query.best_rank.tolist() == [0, 2, 2]
    assert found.per_query.ties.tolist() == [0, 1, 1]
