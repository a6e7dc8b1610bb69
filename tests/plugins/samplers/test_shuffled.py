"""Shuffled items: all of them in turn, whatever their labels."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.sampler_epochs import (
    assert_well_formed,
    epoch,
    seeds,
    spread,
    steps,
    unhurried,
)

from dmlbench_samplers.shuffled import Shuffled


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
