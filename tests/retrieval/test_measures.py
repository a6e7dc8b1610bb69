"""Measures beside the ranking: mean distances, neighbours, votes, clusters, verification."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench import ConfigError, DataError, retrieval

RNG = np.random.default_rng(2)
LABELS = RNG.integers(0, 15, 200)
CENTRES = RNG.normal(size=(15, 8))
EMBEDDINGS = (CENTRES[LABELS] + RNG.normal(size=(200, 8))).astype(np.float32)
UNIT = EMBEDDINGS / np.linalg.norm(EMBEDDINGS.astype(float), axis=1, keepdims=True)
COSINES = UNIT @ UNIT.T


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), items=st.integers(1, 12), classes=st.integers(1, 5))
def test_mean_distances_are_those_of_a_loop_over_pairs(seed, items, classes):
    rng = np.random.default_rng(seed)
    embeddings, labels = rng.normal(size=(items, 3)), rng.integers(0, classes, items)
    embeddings[rng.random(items) < 0.2] = 0
    of_kind = {True: [], False: []}
    for a, b in itertools.combinations(range(items), 2):
        length = np.linalg.norm(embeddings[a]) * np.linalg.norm(embeddings[b])
        cosine = embeddings[a] @ embeddings[b] / length if length else 0.0
        of_kind[bool(labels[a] == labels[b])].append(1 - cosine)
    positive, negative = retrieval.mean_distances(embeddings, labels)
    assert positive == pytest.approx(np.mean(of_kind[True]) if of_kind[True] else 0, abs=1e-12)
    assert negative == pytest.approx(np.mean(of_kind[False]) if of_kind[False] else 0, abs=1e-12)


def test_mean_distances_of_many_blocks_equal_the_mean_of_the_matrix():
    rng = np.random.default_rng(0)
    embeddings, labels = rng.normal(size=(9000, 2)), np.arange(9000) % 2
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    zeros, ones = unit[labels == 0], unit[labels == 1]
    expected = 1 - (zeros @ ones.T).mean()
    assert retrieval.mean_distances(embeddings, labels).negative == pytest.approx(expected)


def test_nearest_neighbours_are_those_of_a_full_sort():
    similarity = COSINES - 9 * np.eye(200)
    found = retrieval.nearest_neighbours(EMBEDDINGS, k=7, memory_budget=2**18)
    expected = np.argsort(-similarity, axis=1)[:, :7]
    np.testing.assert_array_equal(found.index, expected)
    np.testing.assert_allclose(
        found.similarity, np.take_along_axis(similarity, expected, axis=1), atol=1e-6
    )


def test_equal_neighbours_come_in_the_order_of_the_gallery():
    found = retrieval.nearest_neighbours(np.ones((2, 3)), np.tile(np.eye(3), (4, 1)), k=3)
    assert found.index.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_no_query_is_its_own_neighbour_even_among_duplicates():
    found = retrieval.nearest_neighbours(np.ones((30, 4)), k=29)
    assert all(query not in row for query, row in enumerate(found.index))


@pytest.mark.parametrize("k", [0, 200])
def test_more_neighbours_than_there_are_is_refused(k):
    with pytest.raises(ConfigError, match="from 1 to 199"):
        retrieval.nearest_neighbours(EMBEDDINGS, k=k)
    with pytest.raises(ConfigError, match="from 1 to 199"):
        retrieval.knn_accuracy(EMBEDDINGS, LABELS, k=k)


@pytest.mark.parametrize("k", [1, 2, 5, 30])
def test_knn_accuracy_is_that_of_votes_counted_one_by_one(k):
    right = 0
    for query, row in enumerate(COSINES - 9 * np.eye(200)):
        voters = LABELS[np.argsort(-row)[:k]].tolist()
        most = max(map(voters.count, voters))
        right += next(c for c in voters if voters.count(c) == most) == LABELS[query]
    assert retrieval.knn_accuracy(EMBEDDINGS, LABELS, k=k) == right / 200


@pytest.mark.parametrize("k", [1, 3])
def test_knn_accuracy_without_equal_votes_is_scikit_learns(k):
    from sklearn.neighbors import KNeighborsClassifier

    train, test = slice(0, 120), slice(120, 200)
    two = LABELS % 2
    classifier = KNeighborsClassifier(k).fit(UNIT[train], two[train])
    assert retrieval.knn_accuracy(
        EMBEDDINGS[test], two[test], EMBEDDINGS[train], two[train], k=k
    ) == pytest.approx(classifier.score(UNIT[test], two[test]))


def test_one_neighbour_votes_as_recall_at_1():
    assert retrieval.knn_accuracy(EMBEDDINGS, LABELS, k=1) == pytest.approx(
        retrieval.evaluate(EMBEDDINGS, LABELS).recall_at[1]
    )


@pytest.mark.parametrize("k", [1, 5])
def test_a_constant_embedding_wins_no_vote(k):
    assert retrieval.knn_accuracy(np.full((200, 5), 0.3), LABELS, k=k) == 0


@pytest.mark.parametrize("kinds", [1, 3, 40])
@pytest.mark.parametrize("own_row", [True, False])
def test_of_many_copies_the_right_ones_are_found_and_vote(kinds, own_row):
    rng = np.random.default_rng(kinds)
    spots = rng.integers(-4, 5, size=(kinds, 2))  # on a lattice, where distances tie exactly
    items, labels = spots[rng.integers(0, kinds, 300)], rng.integers(0, 4, 300)
    squared = ((items[:, None] - items) ** 2).sum(axis=2)
    if own_row:
        given, far = (), np.eye(300, dtype=bool)
    else:
        given, far = (items,), np.zeros((300, 300), bool)
    k, distance = 4, "euclidean"
    expected, right = [], 0
    for query in range(300):
        others = [item for item in range(300) if not far[query, item]]
        expected.append(sorted(others, key=lambda item: (squared[query, item], item))[:k])
        same = labels == labels[query]
        others.sort(key=lambda item: (squared[query, item], same[item], item))
        voters = labels[others[:k]].tolist()
        right += max(voters, key=voters.count) == labels[query]
    found = retrieval.nearest_neighbours(items, *given, k=k, distance=distance)
    assert found.index.tolist() == expected
    with_labels = (items, labels) if given else ()
    vote = retrieval.knn_accuracy(items, labels, *with_labels, k=k, distance=distance)
    assert vote == right / 300


def test_separated_classes_are_found_by_clustering():
    result = retrieval.evaluate_clustering(100 * CENTRES[LABELS] + EMBEDDINGS, LABELS, restarts=5)
    assert result.nmi > 0.8
    assert result.ami > 0.8
    assert (result.clusters, result.restarts) == (15, 5)


def test_random_clusters_have_no_adjusted_mutual_information():
    result = retrieval.evaluate_clustering(RNG.normal(size=(400, 8)), np.arange(400) % 40)
    assert result.nmi > 0.3
    assert abs(result.ami) < 0.1


def test_clustering_repeats_and_its_spread_is_over_restarts():
    first = retrieval.evaluate_clustering(EMBEDDINGS, LABELS, restarts=3, seed=4)
    assert first == retrieval.evaluate_clustering(EMBEDDINGS, LABELS, restarts=3, seed=4)
    single = [
        retrieval.evaluate_clustering(EMBEDDINGS, LABELS, restarts=1, seed=seed)
        for seed in (4, 5, 6)
    ]
    assert first.nmi == pytest.approx(np.mean([run.nmi for run in single]))
    assert first.ami_spread == pytest.approx(np.std([run.ami for run in single], ddof=1))
    assert single[0].nmi_spread == 0


def test_a_constant_embedding_has_no_clusters():
    result = retrieval.evaluate_clustering(np.full((200, 5), 0.3), LABELS)
    assert result.nmi == result.ami == 0


def test_clustering_needs_a_restart():
    with pytest.raises(ConfigError, match="restarts"):
        retrieval.evaluate_clustering(EMBEDDINGS, LABELS, restarts=0)


def test_verification_figures_are_those_of_all_pairs():
    from sklearn.metrics import roc_auc_score

    pairs = ~np.eye(200, dtype=bool)
    same = (LABELS[:, None] == LABELS)[pairs]
    similarity = COSINES[pairs]
    result = retrieval.evaluate_verification(EMBEDDINGS, LABELS, at_far=(1e-2, 0.1, 1))
    assert result.roc_auc == pytest.approx(roc_auc_score(same, similarity), abs=1e-4)
    positive, negative = similarity[same], np.sort(similarity[~same])[::-1]
    for rate in (1e-2, 0.1):
        threshold = negative[int(rate * len(negative))]
        assert result.tar_at_far[rate] == pytest.approx((positive > threshold).mean(), abs=2e-3)
    assert result.tar_at_far[1] == 1
    thresholds = np.unique(similarity)
    errors = [
        max((negative >= t).mean(), (positive < t).mean())
        for t in thresholds[:: len(thresholds) // 400]
    ]
    assert result.equal_error_rate == pytest.approx(min(errors), abs=5e-3)
    assert result.positive_pairs == same.sum()
    assert result.negative_pairs == (~same).sum()
    assert (np.diff(result.tar) >= 0).all()
    assert (np.diff(result.far) >= 0).all()


def test_verification_between_two_sets_counts_every_pair_once():
    result = retrieval.evaluate_verification(
        EMBEDDINGS[:50], LABELS[:50], EMBEDDINGS[50:], LABELS[50:], memory_budget=2**17
    )
    same = (LABELS[:50, None] == LABELS[50:]).sum()
    assert (result.positive_pairs, result.negative_pairs) == (same, 50 * 150 - same)


@pytest.mark.parametrize("value", [0, 0.3])
def test_a_constant_embedding_verifies_nothing(value):
    result = retrieval.evaluate_verification(np.full((200, 5), value), LABELS)
    assert set(result.tar_at_far.values()) == {0}
    assert result.roc_auc == 0
    assert result.equal_error_rate == 1


def test_separated_classes_are_verified_without_error():
    result = retrieval.evaluate_verification(CENTRES[LABELS], LABELS)
    assert set(result.tar_at_far.values()) == {1}
    assert result.roc_auc == 1
    assert result.equal_error_rate == 0


def test_verification_needs_both_kinds_of_pairs_and_rates():
    with pytest.raises(DataError, match="0 and"):
        retrieval.evaluate_verification(EMBEDDINGS[:5], np.arange(5))
    with pytest.raises(DataError, match="and 0"):
        retrieval.evaluate_verification(EMBEDDINGS[:5], np.zeros(5, int))
    with pytest.raises(ConfigError, match="at_far"):
        retrieval.evaluate_verification(EMBEDDINGS, LABELS, at_far=(2,))


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_an_exhaustive_approximate_search_is_exact_and_says_so(method):
    result = retrieval.evaluate_approximately(EMBEDDINGS, LABELS, method=method, effort=400)
    assert result.neighbour_recall == 1
    assert result.recall_at == retrieval.evaluate(EMBEDDINGS, LABELS).recall_at
    assert result.sampled_queries == 200


def test_a_hasty_approximate_search_states_what_it_missed():
    rng = np.random.default_rng(0)
    embeddings, labels = rng.normal(size=(2000, 16)), np.arange(2000) % 500
    result = retrieval.evaluate_approximately(embeddings, labels, effort=1, sample=300)
    assert 0 < result.neighbour_recall < 0.9
    assert result.sampled_queries == 300
    assert "nprobe 1" in result.index


def test_a_constant_embedding_scores_zero_approximately():
    result = retrieval.evaluate_approximately(np.full((200, 5), 0.3), LABELS)
    assert set(result.recall_at.values()) <= {0.0}


def test_approximate_search_refuses_wrong_arguments():
    for wrong in ({"recall_at": ()}, {"effort": 0}, {"sample": 0}, {"method": "lsh"}):
        with pytest.raises(ConfigError):
            retrieval.evaluate_approximately(EMBEDDINGS, LABELS, **wrong)
    with pytest.raises(DataError, match="nothing to retrieve"):
        retrieval.evaluate_approximately(EMBEDDINGS, np.arange(200))
