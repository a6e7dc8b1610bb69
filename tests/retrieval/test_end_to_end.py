"""From embeddings to figures: against float64 similarities, a peer, and what must always hold."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.retrieval_engines import ENGINES, forced_engine
from support.retrieval_loops import rank_by_loops, require_equal

from dmlbench import retrieval
from dmlbench.retrieval.engine import products


def classes_with_noise(rng, items=300, classes=40, dimension=16, noise=1.0):
    labels = rng.integers(0, classes, items)
    centres = rng.normal(size=(classes, dimension))
    embeddings = centres[labels] + noise * rng.normal(size=(items, dimension))
    return embeddings.astype(np.float32), labels


def cosines(embeddings):
    exact = embeddings.astype(np.float64)
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    exact /= np.where(length > 0, length, 1)
    return exact @ exact.T


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dimension=st.sampled_from([1, 3, 64, 200]),
    duplicated=st.booleans(),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_figures_lie_where_float64_similarities_put_them(
    engine, seed, dimension, duplicated, dtype, scale
):
    """float32 may move a similarity by less than the tolerance, so a rank by what that can do."""
    rng = np.random.default_rng(seed)
    embeddings, labels = classes_with_noise(rng, 60, 12, dimension)
    if duplicated:
        embeddings = embeddings[rng.integers(0, 20, len(embeddings))]
    embeddings = embeddings.astype(dtype)
    if dtype is not np.float16:
        embeddings *= dtype(scale)
    similarity, own = cosines(embeddings.astype(np.float64) / scale), np.arange(len(labels))
    lowest = rank_by_loops(similarity, labels, labels, own, 2e-6 - 1e-6)
    highest = rank_by_loops(similarity, labels, labels, own, 2e-6 + 1e-6)
    with forced_engine(engine, edge=24, columns=17):
        result = retrieval.evaluate(embeddings, labels, tolerance=2e-6).per_query
    for query, (low, high) in enumerate(zip(lowest, highest, strict=True)):
        assert low.relevant == result.relevant[query]
        assert low.best_rank <= result.best_rank[query] <= high.best_rank
        assert high.hits <= result.hits[query] <= low.hits
        assert (
            high.average_precision - 1e-12
            <= result.average_precision[query]
            <= low.average_precision + 1e-12
        )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), duplicated=st.booleans())
def test_a_tolerance_is_that_of_the_float64_oracle(seed, duplicated):
    rng = np.random.default_rng(seed)
    embeddings, labels = classes_with_noise(rng, 50, 9, 4)
    if duplicated:
        embeddings = embeddings[rng.integers(0, 20, len(embeddings))]
    result = retrieval.evaluate(embeddings, labels, tolerance=1e-6)
    expected = rank_by_loops(cosines(embeddings), labels, labels, np.arange(len(labels)), 1e-6)
    require_equal(result.per_query, expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("classes", "noise"), [(60, 0.5), (60, 2.0), (4, 1.0), (150, 30.0)])
def test_figures_equal_those_of_pytorch_metric_learning(engine, classes, noise):
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    embeddings, labels = classes_with_noise(np.random.default_rng(1), 400, classes, 32, noise)
    unit = torch.nn.functional.normalize(torch.from_numpy(embeddings), dim=1)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
    )
    theirs = calculator.get_accuracy(unit, torch.from_numpy(labels))
    with forced_engine(engine, edge=80, columns=90):
        ours = retrieval.evaluate(embeddings, labels)
    assert ours.recall_at[1] == pytest.approx(theirs["precision_at_1"], abs=1e-6)
    assert ours.r_precision == pytest.approx(theirs["r_precision"], abs=1e-6)
    assert ours.map_at_r == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("made_by", ["numpy", "torch"])
@pytest.mark.parametrize("value", [0.0, 0.3, -1e20, 1e-40])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_a_constant_embedding_scores_zero(engine, made_by, value, distance):
    labels = np.random.default_rng(0).integers(0, 9, 130)
    with forced_engine(engine, edge=40, columns=50):
        result = retrieval.evaluate(
            np.full((130, 37), value, np.float32),
            labels,
            recall_at=(1, 5),
            precision_at=(1, 5),
            distance=distance,
            products=made_by,
        )
    assert result.recall_at == {1: 0, 5: 0}
    assert result.precision_at == {1: 0, 5: 0}
    assert result.r_precision == result.map_at_r == 0
    assert result.tied == 1


def test_two_points_for_all_classes_are_all_tied():
    embeddings = np.tile([[1.0, 0.0], [0.0, 1.0]], (50, 1))
    result = retrieval.evaluate(embeddings, np.repeat(np.arange(10), 10))
    assert result.tied == 1
    assert result.recall_at[1] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_separated_classes_score_one(engine):
    embeddings, labels = classes_with_noise(np.random.default_rng(3), noise=1e-3)
    with forced_engine(engine, edge=64, columns=100):
        result = retrieval.evaluate(embeddings, labels)
    assert result.recall_at == {1: 1, 10: 1}
    assert result.r_precision == 1
    assert result.map_at_r == pytest.approx(1, abs=1e-15)
    assert result.tied == 0


def test_one_class_alone_has_no_negative_to_fail_on():
    result = retrieval.evaluate(np.ones((5, 3)), np.zeros(5, int))
    assert result.recall_at[1] == result.r_precision == result.map_at_r == 1
    assert result.per_query.negatives.tolist() == [0] * 5


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(0.1, 20))
def test_recall_grows_with_k_and_map_at_r_is_at_most_r_precision(seed, noise):
    embeddings, labels = classes_with_noise(np.random.default_rng(seed), 120, 20, 6, noise)
    result = retrieval.evaluate(embeddings, labels, recall_at=(1, 2, 4, 8, 1000))
    recalls = list(result.recall_at.values())
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1
    assert 0 <= result.map_at_r <= result.r_precision <= 1
    assert (result.per_query.hits <= result.per_query.relevant).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3))
def test_rotation_scale_and_order_of_the_items_change_nothing(seed, scale):
    rng = np.random.default_rng(seed)
    embeddings, labels = classes_with_noise(rng, 120, 20, 8)
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    order = rng.permutation(len(labels))
    before = retrieval.evaluate(embeddings, labels)
    moved = (scale * embeddings.astype(np.float64) @ rotation)[order]
    after = retrieval.evaluate(moved, labels[order])
    np.testing.assert_array_equal(after.per_query.best_rank, before.per_query.best_rank[order])
    assert after.map_at_r == pytest.approx(before.map_at_r, abs=1e-12)


@pytest.mark.parametrize("engine", ["tiles", "rows", "sorted"])
def test_the_number_of_threads_changes_no_bit(engine, monkeypatch):
    embeddings, labels = classes_with_noise(np.random.default_rng(5), 1500, 100, 32, 2.0)
    results = []
    for threads in (1, 2, 5):
        with monkeypatch.context() as patch, forced_engine(engine, edge=200, columns=300):
            patch.setattr(
                products.ThreadpoolController, "info", lambda _, n=threads: [{"num_threads": n}]
            )
            results.append(retrieval.evaluate(embeddings, labels, precision_at=(5,)))
    for other in results[1:]:
        assert other.map_at_r == results[0].map_at_r
        for name in ("best_rank", "hits", "average_precision", "ties"):
            np.testing.assert_array_equal(
                getattr(other.per_query, name), getattr(results[0].per_query, name)
            )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gallery_that_is_the_queries_gives_what_self_retrieval_gives(engine):
    embeddings, labels = classes_with_noise(np.random.default_rng(6), noise=2.0)
    with forced_engine(engine, edge=64, columns=100):
        alone = retrieval.evaluate(embeddings, labels)
        against_itself = retrieval.evaluate(
            embeddings, labels, embeddings, labels, self_index=np.arange(len(labels))
        )
    assert against_itself.recall_at == alone.recall_at
    assert against_itself.map_at_r == pytest.approx(alone.map_at_r, abs=1e-12)


def test_classes_count_alike_in_the_per_class_averages():
    embeddings = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [-1, 0], [1, 0.15]], float)
    labels = np.array([0, 0, 0, 1, 1, 2])
    result = retrieval.evaluate(embeddings, labels, recall_at=(1,))
    assert result.lone_queries == 1
    recalled = result.per_query.best_rank == 1
    by_class = [recalled[labels == 0].mean(), recalled[labels == 1].mean()]
    assert result.recall_at[1] == pytest.approx(recalled[labels < 2].mean())
    assert result.per_class.recall_at[1] == pytest.approx(np.mean(by_class))
    assert result.recall_at[1] != result.per_class.recall_at[1]


@pytest.mark.parametrize("engine", ["tiles", "rows", "sorted"])
def test_a_small_memory_budget_gives_the_same_figures(engine):
    embeddings, labels = classes_with_noise(np.random.default_rng(7), 600, 80, 24, 2.0)
    expected = retrieval.evaluate(embeddings, labels)
    with forced_engine(engine):
        small = retrieval.evaluate(embeddings, labels, memory_budget=2**16)
    np.testing.assert_array_equal(small.per_query.hits, expected.per_query.hits)
    assert small.map_at_r == pytest.approx(expected.map_at_r, abs=1e-12)


@pytest.mark.parametrize("dimension", [32, 512])
@pytest.mark.parametrize(("classes", "mebibytes"), [(1000, 8), (100, 16), (10, 8)])
def test_memory_stays_within_the_budget(classes, mebibytes, dimension):
    rng = np.random.default_rng(8)
    embeddings, labels = classes_with_noise(rng, 4000, classes, dimension, 3.0)
    budget, per_item = mebibytes * 2**20, 200
    retrieval.evaluate(embeddings[:50], np.arange(50) % 5)
    tracemalloc.start()
    try:
        retrieval.evaluate(embeddings, labels, memory_budget=budget)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < budget + per_item * len(labels)


def test_full_float32_products_are_asked_of_torch_and_the_setting_is_given_back():
    from dmlbench.retrieval.engine.torch_blocks import _full_precision

    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        with _full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
