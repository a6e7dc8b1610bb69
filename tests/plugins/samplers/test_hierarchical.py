"""Hierarchical batches: few super-classes, classes within them, the same number of items each."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from support.sampler_epochs import (
    assert_well_formed,
    epoch,
    seeds,
    spread,
    steps,
    unhurried,
)

from dmlbench_samplers.hierarchical import Hierarchical

trees = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=6), min_size=1, max_size=5)


def items_of(tree: list[list[int]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and groups of a tree: for each super-class the sizes of its classes."""
    sizes = [size for classes in tree for size in classes]
    parents = np.repeat(np.arange(len(tree)), [len(classes) for classes in tree])
    order = np.random.default_rng(seed).permutation(sum(sizes))
    labels = np.repeat(3 * np.arange(len(sizes)) - 5, sizes)[order]
    return labels, np.repeat(11 * parents + 2, sizes)[order]


@unhurried
@given(trees, st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), steps, seeds)
def test_a_batch_holds_classes_of_few_super_classes_in_equal_shares(
    tree, super_classes, m, places, steps, seed
):
    labels, groups = items_of(tree, seed)
    sampler = Hierarchical(super_classes=super_classes, m=m)
    batches = epoch(sampler, labels, m * places, steps, seed, groups=groups)
    assert_well_formed(batches, labels, m * places, steps)
    for batch in batches:
        in_group = Counter(groups[batch].tolist())
        assert len(in_group) == min(super_classes, len(tree), places)
        assert all(items % m == 0 for items in in_group.values())
        assert spread(in_group, in_group) <= m
        for group, items in in_group.items():
            in_class = Counter(labels[batch][groups[batch] == group].tolist())
            classes = set(labels[groups == group].tolist())
            if items // m <= len(classes):
                assert list(in_class.values()) == [m] * (items // m)
            else:
                assert spread(in_class, classes) <= 1


@unhurried
@given(trees, st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), steps, seeds)
def test_super_classes_classes_and_items_come_in_turn(tree, super_classes, m, places, steps, seed):
    labels, groups = items_of(tree, seed)
    sampler = Hierarchical(super_classes=super_classes, m=m)
    showings, uses = Counter(), Counter()
    for batch in epoch(sampler, labels, m * places, steps, seed, groups=groups):
        showings.update(set(groups[batch].tolist()))
        uses.update(batch.tolist())
        assert spread(showings, set(groups.tolist())) <= 1
        for label in set(labels.tolist()):
            assert spread(uses, np.flatnonzero(labels == label).tolist()) <= 1


def test_classes_of_a_super_class_are_equally_often():
    labels, groups = items_of([[5] * 7, [2] * 10, [9] * 3], seed=0)
    visits = Counter()
    for batch in epoch(Hierarchical(m=2), labels, 12, 50, 0, groups=groups):
        visits.update(set(labels[batch].tolist()))
    for group in set(groups.tolist()):
        assert spread(visits, set(labels[groups == group].tolist())) <= 1


def test_all_pairs_of_super_classes_are_equally_likely():
    labels, groups = items_of([[3] * 4] * 4, seed=0)
    pairs = Counter(
        tuple(sorted(set(groups[batch].tolist())))
        for seed in range(300)
        for batch in epoch(Hierarchical(), labels, 16, 2, seed, groups=groups)[:1]
    )
    assert len(pairs) == 6
    assert chisquare(list(pairs.values())).pvalue > 0.01


def test_one_super_class_is_as_with_m_per_class():
    labels, groups = items_of([[6] * 10], seed=0)
    for batch in epoch(Hierarchical(m=3), labels, 12, 5, 0, groups=groups):
        assert sorted(Counter(labels[batch].tolist()).values()) == [3] * 4
        assert len(set(batch.tolist())) == 12


def test_a_class_within_two_super_classes_counts_as_two():
    labels, groups = np.zeros(12, int), np.repeat([0, 1], 6)
    for batch in epoch(Hierarchical(m=2), labels, 4, 6, 0, groups=groups):
        assert sorted(groups[batch].tolist()) == [0, 0, 1, 1]


def test_fewer_items_than_a_batch_are_shown_equally_often():
    labels, groups = items_of([[1, 1], [1]], seed=0)
    (batch,) = epoch(Hierarchical(m=4), labels, 32, 1, 0, groups=groups)
    assert sorted(Counter(batch.tolist()).values()) == [8, 8, 16]
