"""Samplers: what each batch holds, and what an epoch covers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from support.sampler_epochs import (
    assert_depends_on_its_generator_alone,
    assert_well_formed,
    class_sizes,
    epoch,
    labels_of,
    seeds,
    spread,
    steps,
    unhurried,
)

from dmlbench import ConfigError, DataError
from dmlbench_samplers.m_per_class import MPerClass
from dmlbench_samplers.shuffled import Shuffled

SAMPLERS = [MPerClass(m=2), Shuffled()]

# M per class


@unhurried
@given(class_sizes, st.integers(1, 5), st.integers(1, 8), steps, seeds)
def test_m_per_class_fills_every_batch_with_balanced_classes(sizes, m, groups, steps, seed):
    labels, batch_size = labels_of(sizes, seed), m * groups
    batches = epoch(MPerClass(m=m), labels, batch_size, steps, seed)
    assert_well_formed(batches, labels, batch_size, steps)
    for batch in batches:
        items_of_class = Counter(labels[batch].tolist())
        if groups <= len(sizes):
            assert list(items_of_class.values()) == [m] * groups
        else:
            assert len(items_of_class) == len(sizes)
            assert spread(items_of_class, items_of_class) <= 1


@unhurried
@given(class_sizes, st.integers(1, 5), st.integers(1, 8), steps, seeds)
def test_m_per_class_repeats_an_item_only_where_its_class_is_too_small(
    sizes, m, groups, steps, seed
):
    labels = labels_of(sizes, seed)
    for batch in epoch(MPerClass(m=m), labels, m * groups, steps, seed):
        copies = Counter(batch.tolist())
        for label in set(labels[batch].tolist()):
            members = np.flatnonzero(labels == label).tolist()
            taken = sum(copies[item] for item in members)
            if taken <= len(members):
                assert max(copies[item] for item in members) == 1
            else:
                assert spread(copies, members) <= 1


@unhurried
@given(class_sizes, st.integers(1, 5), st.integers(1, 8), steps, seeds)
def test_m_per_class_visits_all_classes_and_all_their_items_in_turn(sizes, m, groups, steps, seed):
    labels = labels_of(sizes, seed)
    visits, uses = Counter(), Counter()
    for batch in epoch(MPerClass(m=m), labels, m * groups, steps, seed):
        uses.update(batch.tolist())
        in_batch = labels[batch].tolist()
        visits.update(set(in_batch) if groups <= len(sizes) else in_batch)
        assert spread(visits, set(labels.tolist())) <= 1
        for label in set(labels.tolist()):
            assert spread(uses, np.flatnonzero(labels == label).tolist()) <= 1


def test_m_per_class_reaches_every_item_of_a_balanced_set_in_one_pass():
    labels = labels_of([6] * 20, seed=0)
    batches = epoch(MPerClass(m=3), labels, batch_size=12, steps=10, seed=1)
    assert sorted(np.concatenate(batches)) == list(range(120))


def test_m_per_class_with_five_classes_fills_a_batch_of_64_with_12_or_13_of_each():
    labels = labels_of([100] * 5, seed=0)
    (batch,) = epoch(MPerClass(m=4), labels, batch_size=64, steps=1, seed=0)
    assert sorted(Counter(labels[batch].tolist()).values()) == [12, 13, 13, 13, 13]
    assert len(set(batch.tolist())) == 64


@pytest.mark.parametrize(("batch_size", "m"), [(32, 5), (3, 4), (65, 64)])
def test_m_per_class_refuses_a_batch_size_that_is_no_multiple_of_m(batch_size, m):
    with pytest.raises(ConfigError, match=f"batches of {batch_size} with m = {m}.*multiple of {m}"):
        MPerClass(m=m).batches(
            np.zeros(100, int), batch_size=batch_size, steps=1, rng=np.random.default_rng()
        )


def test_m_per_class_covers_classes_of_any_size_within_one_visit_and_one_showing():
    labels = labels_of([1, 2, 3, 5, 8, 13, 21], seed=0)
    visits, uses = Counter(), Counter()
    for batch in epoch(MPerClass(m=2), labels, batch_size=6, steps=40, seed=1):
        visits.update(set(labels[batch].tolist()))
        uses.update(batch.tolist())
    assert sorted(visits.values()) == [17] * 6 + [18]  # 40 batches of 3 among 7 classes
    for label, visited in visits.items():
        members = np.flatnonzero(labels == label).tolist()
        often, rest = divmod(2 * visited, len(members))
        expected = [often] * (len(members) - rest) + [often + 1] * rest
        assert sorted(uses[item] for item in members) == expected


# Shuffled


@unhurried
@given(st.integers(1, 40), st.integers(1, 50), steps, seeds)
def test_shuffled_uses_every_item_equally_often(items, batch_size, steps, seed):
    labels = np.arange(items) // 3
    batches = epoch(Shuffled(), labels, batch_size, steps, seed)
    assert_well_formed(batches, labels, batch_size, steps)
    uses = Counter()
    for batch in batches:
        uses.update(batch.tolist())
        assert spread(uses, range(items)) <= 1
        assert spread(Counter(batch.tolist()), range(items)) <= 1


def test_shuffled_drops_no_item_at_the_end_of_a_pass():
    batches = epoch(Shuffled(), np.zeros(10, int), batch_size=4, steps=5, seed=0)
    assert Counter(np.concatenate(batches).tolist()) == dict.fromkeys(range(10), 2)


def test_shuffled_pays_no_heed_to_labels():
    one, other = np.zeros(50, int), np.arange(50)
    for a, b in zip(
        epoch(Shuffled(), one, 8, 10, 3), epoch(Shuffled(), other, 8, 10, 3), strict=True
    ):
        assert a.tolist() == b.tolist()


# Both


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_epoch_depends_on_its_generator_alone(sampler):
    assert_depends_on_its_generator_alone(sampler, labels_of([5] * 12, seed=0))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_item_is_as_likely_as_any_other_in_any_batch_of_an_epoch(sampler):
    labels = labels_of([3] * 10, seed=0)
    epochs = [epoch(sampler, labels, 8, 9, seed) for seed in range(900)]
    for step in (0, 4, 8):
        counts = Counter(int(i) for batches in epochs for i in batches[step])
        # Items of one batch exclude one another, so the statistic is smaller than chi-square, save
        # that those of a class come by twos.
        assert chisquare([counts[i] for i in range(30)]).pvalue > 1e-3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_set_without_items_is_refused_before_the_first_batch(sampler):
    with pytest.raises(DataError, match="no training items"):
        sampler.batches(np.array([], int), batch_size=4, steps=1, rng=np.random.default_rng())
