"""M items of each class: balanced batches, and classes and items in turn."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.sampler_epochs import (
    assert_well_formed,
    class_sizes,
    epoch,
    labels_of,
    seeds,
    spread,
    steps,
    unhurried,
)

from dmlbench_samplers.m_per_class import MPerClass


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
