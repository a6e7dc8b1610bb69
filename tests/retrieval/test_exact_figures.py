"""Every figure against arithmetic without rounding, on data that float32 can't order."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.exact_oracle import nearer_first, squared_distances
from support.retrieval_engines import ENGINES, forced_engine

from dmlbench import retrieval


@dataclass
class Case:
    """Embeddings of some kind, with labels and a distance."""

    embeddings: np.ndarray
    labels: np.ndarray
    distance: object
    gallery: int
    """The last so many are the gallery; 0 for self-retrieval."""
    edge: int
    columns: int
    listed: int
    products: str


def shift(rng, width):
    """Return numbers that spread over `width` orders of magnitude."""
    return 10.0 ** rng.uniform(-width, 0)


KINDS = {
    "gaussian": lambda rng, noise: noise,
    "norms": lambda rng, noise: noise * 10.0 ** rng.uniform(-6, 6, (len(noise), 1)),
    "outlier": lambda rng, noise: np.vstack(
        [noise[1:], np.full_like(noise[0], 1e9 * shift(rng, 8))]
    ),
    "cone": lambda rng, noise: noise[0] / np.linalg.norm(noise[0]) + shift(rng, 7) * noise,
    "far": lambda rng, noise: 1 + shift(rng, 9) * noise,
    "clouds": lambda rng, noise: noise + 1e7 * shift(rng, 7) * rng.integers(0, 2, (len(noise), 1)),
    "lattice": lambda rng, noise: rng.integers(-2, 3, noise.shape).astype(float),
    "duplicates": lambda rng, noise: noise[rng.integers(0, max(1, len(noise) // 3), len(noise))],
    "multiples": lambda rng, noise: (
        noise[rng.integers(0, max(1, len(noise) // 2), len(noise))]
        * rng.integers(1, 4, (len(noise), 1))
    ),
}


@st.composite
def cases(draw) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dimension = draw(st.sampled_from([1, 2, 3, 8, 33, 128, 512]))
    items = draw(st.integers(4, 26 if dimension < 100 else 14))
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    embeddings = kind(rng, rng.standard_normal((items, dimension)))
    distance = draw(st.sampled_from(["cosine", "euclidean", "mahalanobis", "matusita"]))
    if distance == "matusita":
        dimension = min(dimension, 8)
        embeddings = np.abs(embeddings[:, :dimension]) + 1e-3
    if distance == "mahalanobis":
        dimension = min(dimension, 8)
        embeddings = embeddings[:, :dimension]
        distance = retrieval.Mahalanobis.of(rng.standard_normal((30, dimension)))
    if draw(st.booleans()):
        embeddings = embeddings.astype(np.float32)
    return Case(
        embeddings,
        rng.integers(0, draw(st.sampled_from([1, 2, 4, 8])), items),
        distance,
        gallery=draw(st.sampled_from([0, 0, items // 2])),
        edge=draw(st.sampled_from([51, 24, 9])),
        columns=draw(st.sampled_from([60, 16, 5])),
        listed=draw(st.sampled_from([40, 2**24])),
        products=draw(st.sampled_from(["numpy", "torch"])),
    )


def figures_of(squared, labels, gallery_labels, own, dimension, distance, multiple, k):
    """Return rank of the best, hits, average precision and so on of each query, and kNN's votes."""
    found, right = [], 0
    for query, row in enumerate(squared):
        items = [item for item in range(len(row)) if item != own[query]]
        no_further = nearer_first([row[item] for item in items], dimension, distance, multiple)
        same = [gallery_labels[item] == labels[query] for item in items]
        positives = [i for i, positive in enumerate(same) if positive]
        negatives = [i for i, positive in enumerate(same) if not positive]
        ahead = sorted(sum(no_further[n][p] for n in negatives) for p in positives)
        found.append([place + count for place, count in enumerate(ahead, start=1)])
        # Nearest first; among ties, other classes first, then in the order of the gallery.
        order = sorted(
            range(len(items)),
            key=lambda i: (sum(not no_further[i][j] for j in range(len(items))), same[i], items[i]),
        )
        voters = [gallery_labels[items[i]] for i in order[:k]]
        right += max(voters, key=voters.count) == labels[query]
    return found, right / len(squared)


def check(case: Case, engine: str) -> None:
    total = len(case.labels)
    split = total - case.gallery
    queries, labels = case.embeddings[:split], case.labels[:split]
    gallery, gallery_labels = case.embeddings[split:], case.labels[split:]
    own = np.full(split, -1)
    given_gallery: tuple = (gallery, gallery_labels)
    if not case.gallery:
        gallery, gallery_labels, own, given_gallery = queries, labels, np.arange(split), ()
    assume(
        any(
            (np.delete(gallery_labels, o if o >= 0 else []) == label).any()
            for label, o in zip(labels, own, strict=True)
        )
    )
    dimension = case.embeddings.shape[1]
    k = min(3, len(gallery) - (not case.gallery))
    squared = squared_distances(queries, gallery, case.distance)
    arguments = (squared, labels, gallery_labels, own, dimension, case.distance)
    expected, votes = figures_of(*arguments, 1, k)
    # Only where half the bound, and twice it, leave the figures as they are.
    for multiple in (0.5, 2):
        assume(figures_of(*arguments, multiple, k) == (expected, votes))

    with forced_engine(engine, edge=case.edge, listed=case.listed, columns=case.columns):
        result = retrieval.evaluate(
            queries,
            labels,
            *given_gallery,
            self_index=None if not case.gallery else own,
            distance=case.distance,
            products=case.products,
            mean_average_precision=engine != "tiles",
            precision_at=(1, 3),
        )
    scored = [ranks for ranks in expected if ranks]
    assert result.per_query.best_rank.tolist() == [ranks[0] if ranks else 0 for ranks in expected]
    hits = [[rank for rank in ranks if rank <= len(ranks)] for ranks in scored]
    for found, wanted in (
        (result.recall_at[1], [ranks[0] <= 1 for ranks in scored]),
        (result.r_precision, [len(h) / len(r) for h, r in zip(hits, scored, strict=True)]),
        (
            result.map_at_r,
            [
                sum(place / rank for place, rank in enumerate(h, start=1)) / len(r)
                for h, r in zip(hits, scored, strict=True)
            ],
        ),
        (result.mean_reciprocal_rank, [1 / ranks[0] for ranks in scored]),
        (
            result.mean_average_precision,
            [sum(p / r for p, r in enumerate(ranks, start=1)) / len(ranks) for ranks in scored],
        ),
        (result.precision_at[3], [sum(rank <= 3 for rank in ranks) / 3 for ranks in scored]),
    ):
        assert found is None or found == pytest.approx(np.mean(wanted), abs=1e-9)
    accuracy = retrieval.knn_accuracy(queries, labels, *given_gallery, k=k, distance=case.distance)
    assert accuracy == pytest.approx(votes, abs=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_figures_are_those_of_exact_arithmetic(engine, case):
    check(case, engine)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_figures_are_those_of_exact_arithmetic_on_hundreds_of_cases(engine, case):
    check(case, engine)


def clusters(rng, classes=20, items=5, dimension=8):
    """Return clusters far apart for their width, and their classes."""
    labels = np.repeat(np.arange(classes), items)
    centres = 10 * rng.standard_normal((classes, dimension))
    return centres[labels] + 0.1 * rng.standard_normal((len(labels), dimension)), labels


@pytest.mark.parametrize("distance", ["euclidean", "mahalanobis"])
@pytest.mark.parametrize("far", [1e3, 1e9])
def test_one_far_item_moves_no_figure_of_the_others(distance, far):
    embeddings, labels = clusters(np.random.default_rng(0))
    if distance == "mahalanobis":
        distance = retrieval.Mahalanobis.of(embeddings)
    neighbours = retrieval.nearest_neighbours(embeddings, k=4, distance=distance).index
    embeddings = np.vstack([embeddings, np.full(8, far)]).astype(np.float32)
    labels = np.append(labels, 99)
    result = retrieval.evaluate(embeddings, labels, recall_at=(1,), distance=distance)
    assert (result.recall_at[1], result.map_at_r) == (1, 1)
    votes = retrieval.knn_accuracy(embeddings, labels, k=3, distance=distance)
    assert votes == 100 / 101
    found = retrieval.nearest_neighbours(embeddings, k=4, distance=distance).index[:-1]
    assert np.mean(found == neighbours) > 0.95  # but for the rounding to float32
    verified = retrieval.evaluate_verification(embeddings, labels, distance=distance)
    assert verified.roc_auc > 1 - 1e-6 - verified.error


@pytest.mark.parametrize(("items", "width"), [(2000, 1.0), (1000, 1e-3)])
def test_angles_in_two_dimensions_are_ordered_as_the_angles(items, width):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, items)
    angles = width * (0.6 * labels + 0.25 * rng.standard_normal(items))
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    apart = np.abs((angles[:, None] - angles + np.pi) % (2 * np.pi) - np.pi)
    np.fill_diagonal(apart, np.inf)
    right = np.mean(labels[apart.argmin(axis=1)] == labels)
    assert retrieval.evaluate(embeddings, labels).recall_at[1] == pytest.approx(right, abs=2e-3)
    assert retrieval.knn_accuracy(embeddings, labels, k=1) == pytest.approx(right, abs=2e-3)


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_identical_copies_are_found_by_an_approximate_search_too(method):
    rng = np.random.default_rng(2)
    embeddings = np.repeat(rng.standard_normal((40, 16)), 12, axis=0)
    labels = np.repeat(np.arange(40), 12)
    arguments = {"recall_at": (1,), "method": method, "effort": 64}
    found = retrieval.evaluate_approximately(embeddings, labels, **arguments)
    assert found.recall_at[1] == 1
    # Copies in two classes: every query has negatives that tie with its best positive.
    shared = retrieval.evaluate_approximately(embeddings, np.arange(480) % 2, **arguments)
    assert shared.recall_at[1] == 0


def test_mean_distances_of_a_narrow_cone_keep_their_digits():
    rng = np.random.default_rng(3)
    embeddings = np.array([1.0, 2.0, 3.0]) + 1e-7 * rng.standard_normal((30, 3))
    labels = np.arange(30) % 3
    squared = np.array(squared_distances(embeddings, embeddings, "cosine"), dtype=float)
    same = labels[:, None] == labels
    others = ~np.eye(30, dtype=bool)
    found = retrieval.mean_distances(embeddings, labels)
    assert found.positive == pytest.approx(squared[same & others].mean() / 2, rel=1e-6)
    assert found.negative == pytest.approx(squared[~same].mean() / 2, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-9, 1, 1e9])
def test_verification_steps_suit_the_scale_of_the_data(scale):
    embeddings, labels = clusters(np.random.default_rng(4))
    found = retrieval.evaluate_verification(embeddings * scale, labels, distance="euclidean")
    assert found.roc_auc + found.error >= 1 - 1e-12
    assert found.error < 1e-3
