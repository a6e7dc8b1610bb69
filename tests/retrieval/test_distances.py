"""Each pair of maps against the plain formula on all pairs."""

import numpy as np
import pytest
from support.retrieval_engines import ENGINES, forced_engine
from support.retrieval_loops import rank_by_loops

from dmlbench import ConfigError, DataError, retrieval
from dmlbench.retrieval.distances import DISTANCES, as_distance

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(3, 2, (40, 6))
TRAINING = RNG.normal(size=(100, 6)) @ RNG.normal(size=(6, 6))
POSITIVE = RNG.random((40, 6)) + 0.01
WITH_ZEROS = np.where(RNG.random((40, 6)) < 0.3, 0, POSITIVE)
WITH_ZEROS[:, 0] = POSITIVE[:, 0]


def cosine(x, y):
    return 1 - x @ y / np.sqrt((x @ x) * (y @ y))


def euclidean(x, y):
    return np.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))


def mahalanobis(x, y):
    return np.sqrt((x - y) @ np.linalg.inv(np.cov(TRAINING, rowvar=False)) @ (x - y))


def matusita(x, y):
    p, q = x / x.sum(), y / y.sum()
    return np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum())


def bhattacharyya(x, y):
    p, q = x / x.sum(), y / y.sum()
    return -np.log(np.sqrt(p * q).sum())


def kullback_leibler(x, y, epsilon=1e-10):
    p, q = x / x.sum() + epsilon, y / y.sum() + epsilon
    p, q = p / p.sum(), q / q.sum()
    return (p * np.log(p / q)).sum()


FORMULAS = [
    ("cosine", VECTORS, cosine),
    ("euclidean", VECTORS, euclidean),
    (retrieval.Mahalanobis.of(TRAINING, shrinkage=0), VECTORS, mahalanobis),
    ("matusita", POSITIVE, matusita),
    ("matusita", WITH_ZEROS, matusita),
    ("bhattacharyya", POSITIVE, bhattacharyya),
    ("kullback-leibler", POSITIVE, kullback_leibler),
    ("kullback-leibler", WITH_ZEROS, kullback_leibler),
]
NAMES = [f"{getattr(name, 'name', name)}-{number}" for number, (name, _, _) in enumerate(FORMULAS)]


@pytest.mark.parametrize(("distance", "vectors", "formula"), FORMULAS, ids=NAMES)
def test_neighbours_by_a_distance_are_those_of_the_formula(distance, vectors, formula):
    queries, gallery = vectors[:25], vectors[15:]
    found = retrieval.nearest_neighbours(queries, gallery, k=25, distance=distance)
    expected = np.array([[formula(x, y) for y in gallery] for x in queries])
    sorted_distances = np.take_along_axis(expected, found.index, axis=1)
    assert (np.diff(sorted_distances, axis=1) >= -1e-7).all()


@pytest.mark.parametrize(("distance", "vectors", "formula"), FORMULAS, ids=NAMES)
@pytest.mark.parametrize("engine", ENGINES)
def test_metrics_by_a_distance_are_those_of_the_formula(distance, vectors, formula, engine):
    labels = np.arange(len(vectors)) % 9
    expected = rank_by_loops(
        [[-formula(x, y) for y in vectors] for x in vectors],
        labels,
        labels,
        np.arange(len(labels)),
        0,
    )
    with forced_engine(engine, edge=16):
        result = retrieval.evaluate(vectors, labels, distance=distance, tolerance=1e-9)
    assert result.per_query.best_rank.tolist() == [query.best_rank for query in expected]
    assert result.per_query.hits.tolist() == [query.hits for query in expected]


def test_kullback_leibler_is_not_symmetric():
    assert not as_distance("kullback-leibler").fit(POSITIVE, POSITIVE).symmetric


def test_bhattacharyya_ranks_as_matusita():
    labels = np.arange(40) % 9
    first = retrieval.evaluate(POSITIVE, labels, distance="matusita")
    second = retrieval.evaluate(POSITIVE, labels, distance="bhattacharyya")
    assert first.map_at_r == second.map_at_r


@pytest.mark.parametrize("shift", [0, 1e4])
@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_euclidean_figures_do_not_depend_on_origin_and_unit(shift, scale):
    labels = np.arange(40) % 9
    expected = retrieval.evaluate(VECTORS, labels, distance="euclidean")
    moved = retrieval.evaluate(scale * (VECTORS + shift), labels, distance="euclidean")
    np.testing.assert_array_equal(moved.per_query.hits, expected.per_query.hits)


@pytest.mark.parametrize("name", ["matusita", "bhattacharyya", "kullback-leibler"])
@pytest.mark.parametrize("bad", [[-0.1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
def test_vectors_that_are_no_distributions_are_refused_by_row(name, bad, monkeypatch):
    monkeypatch.setattr("dmlbench.retrieval.distances._BYTES_AT_ONCE", 7 * 8 * 6)
    vectors = POSITIVE.copy()
    vectors[17] = bad
    with pytest.raises(DataError, match="row 17"):
        retrieval.evaluate(vectors, np.zeros(40, int), distance=name)
    with pytest.raises(DataError, match="row 17"):
        retrieval.evaluate(POSITIVE, np.zeros(40, int), vectors, np.zeros(40, int), distance=name)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.ones((2, 3)), r"\[D, D\]"),
        (np.array([[1, 2], [0, 1]]), "symmetric"),
        (np.array([[1, 2], [2, 1]]), "positive"),
        (np.zeros((2, 2)), "positive"),
        (np.array([[np.nan, 0], [0, 1]]), "finite"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused(covariance, message):
    with pytest.raises(DataError, match=message):
        retrieval.Mahalanobis(covariance)


def test_mahalanobis_refuses_other_dimensions_and_a_covariance_without_inverse():
    with pytest.raises(DataError, match="6 dimensions"):
        retrieval.evaluate(
            VECTORS[:, :3], np.zeros(40, int), distance=retrieval.Mahalanobis.of(TRAINING)
        )
    with pytest.raises(DataError, match="no inverse"):
        retrieval.Mahalanobis(np.diag([1.0, 0.0]), shrinkage=0)
    assert retrieval.Mahalanobis(np.diag([1.0, 0.0])).whitening.shape == (2, 2)


def test_epsilon_must_be_above_zero():
    with pytest.raises(ConfigError, match="epsilon"):
        retrieval.KullbackLeibler(0)


def test_the_catalogue_names_each_distance_by_its_name():
    assert all(distance.name == name for name, distance in DISTANCES.items())
