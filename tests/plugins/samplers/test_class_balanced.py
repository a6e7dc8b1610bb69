"""Class-balanced batches: classes at random, items in rounds."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
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

from dmlbench_samplers.class_balanced import ClassBalanced


@unhurried
@given(class_sizes, st.integers(1, 30), steps, seeds)
def test_items_come_again_only_after_all_others_of_their_class(sizes, batch_size, steps, seed):
    labels = labels_of(sizes, seed)
    batches = epoch(ClassBalanced(), labels, batch_size, steps, seed)
    assert_well_formed(batches, labels, batch_size, steps)
    uses = Counter()
    for batch in batches:
        uses.update(batch.tolist())
        copies = Counter(batch.tolist())
        for label in set(labels.tolist()):
            members = np.flatnonzero(labels == label).tolist()
            assert spread(uses, members) <= 1
            assert spread(copies, members) <= 1


def test_all_classes_are_equally_likely_whatever_their_size_and_draws_independent():
    labels = labels_of([1, 2, 4, 50, 200], seed=0)
    batches = epoch(ClassBalanced(), labels, batch_size=20, steps=300, seed=0)
    classes = Counter(labels[np.concatenate(batches)].tolist())
    assert chisquare(list(classes.values())).pvalue > 0.01
    # Of independent draws a batch holds a class a binomial number of times.
    one = [int((labels[batch] == labels[0]).sum()) for batch in batches]
    assert np.var(one) == pytest.approx(20 * 0.2 * 0.8, rel=0.25)


def test_a_single_class_fills_all_batches():
    batches = epoch(ClassBalanced(), np.full(5, 3), batch_size=8, steps=5, seed=0)
    assert Counter(np.concatenate(batches).tolist()) == dict.fromkeys(range(5), 8)
