"""Core-set batches: how well the picks cover their pool, and what comes with them."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sampler_epochs import (
    assert_well_formed,
    class_sizes,
    epoch,
    labels_of,
    seeds,
    steps,
    unhurried,
)

from dmlbench_samplers.core_set import CoreSet, _cover


def unit(count: int, dimension: int, seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def radius(embeddings: np.ndarray, picks: list[int]) -> float:
    """The largest distance of any item to the nearest pick."""
    distances = np.linalg.norm(embeddings[:, None] - embeddings[list(picks)], axis=2)
    return float(distances.min(1).max())


@unhurried
@given(class_sizes, st.integers(1, 4), st.integers(1, 9), st.integers(1, 60), steps, seeds)
def test_a_batch_holds_picks_and_others_of_their_classes(sizes, m, picks, pool, steps, seed):
    labels = labels_of(sizes, seed)
    embeddings = unit(len(labels), 5, seed)
    sampler = CoreSet(pool=pool, m=m)
    batches = epoch(sampler, labels, m * picks, steps, seed, embeddings=embeddings)
    assert_well_formed(batches, labels, m * picks, steps)
    for batch in batches:
        picked = Counter(labels[batch[:picks]].tolist())
        assert Counter(labels[batch].tolist()) == {c: m * count for c, count in picked.items()}
        for label, count in picked.items():
            items = batch[labels[batch] == label].tolist()
            if picks <= min(pool, len(labels)) and m * count <= (labels == label).sum():
                assert len(set(items)) == len(items)


@unhurried
@given(st.integers(1, 30), st.integers(1, 12), seeds)
def test_each_pick_is_the_furthest_from_those_before(items, count, seed):
    embeddings = unit(items, 4, seed)
    picks = _cover(embeddings, count).tolist()
    for place in range(1, min(count, items)):
        before = np.linalg.norm(embeddings[:, None] - embeddings[picks[:place]], axis=2).min(1)
        assert before[picks[place]] == pytest.approx(before.max(), abs=1e-5)
    assert sorted(Counter(picks).values())[-1] <= -(-count // items)


@pytest.mark.parametrize("seed", range(5))
def test_picks_cover_within_twice_the_best_radius(seed):
    embeddings = unit(14, 3, seed)
    best = min(radius(embeddings, picks) for picks in combinations(range(14), 4))
    assert radius(embeddings, _cover(embeddings, 4)) <= 2 * best + 1e-6


def test_rare_places_are_covered_that_random_batches_miss():
    embeddings = np.repeat(unit(8, 16, 0), [200, 200, 200, 200, 1, 1, 1, 1], axis=0)
    labels = np.repeat(np.arange(8), [200, 200, 200, 200, 1, 1, 1, 1])
    sampler = CoreSet(pool=1000, m=2)
    for batch in epoch(sampler, labels, 16, 5, 0, embeddings=embeddings):
        assert set(labels[batch].tolist()) == set(range(8))


def test_pools_differ_between_batches():
    labels = labels_of([10] * 20, 0)
    batches = epoch(CoreSet(pool=20, m=1), labels, 20, 8, 0, embeddings=unit(200, 8, 0))
    assert len({tuple(sorted(batch.tolist())) for batch in batches}) == 8


@pytest.mark.parametrize("value", [np.nan, 1.0])
def test_collapsed_or_diverged_embeddings_give_different_items_still(value):
    labels = labels_of([10] * 20, 0)
    embeddings = np.full((200, 4), value, dtype=np.float32)
    for batch in epoch(CoreSet(pool=50, m=2), labels, 32, 4, 0, embeddings=embeddings):
        assert len(set(batch.tolist())) == 32


def test_a_batch_larger_than_the_set_shows_all_of_it():
    labels = np.array([0, 0, 0, 1, 1, 2])
    (batch,) = epoch(CoreSet(m=2), labels, 24, 1, 0, embeddings=unit(6, 3, 0))
    assert Counter(batch[:12].tolist()) == dict.fromkeys(range(6), 2)


def test_one_item_that_moves_changes_only_batches_whose_pool_holds_it():
    labels = labels_of([*range(5, 25)], 0)
    embeddings = unit(len(labels), 8, 0)
    moved = embeddings.copy()
    moved[7] = [100, 0, 0, 0, 0, 0, 0, 0]
    sampler = CoreSet(pool=15, m=3)
    before, after = (
        epoch(sampler, labels, 24, 60, 0, embeddings=each) for each in (embeddings, moved)
    )
    other = sum(not np.array_equal(*pair) for pair in zip(before, after, strict=True))
    assert 1 <= other <= 60 * 3 * 15 / len(labels)
