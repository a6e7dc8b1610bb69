"""What every loss over triplets makes of its selection: all that a mask spans, each as often."""

import pytest
import torch
from support.loss_loops import REFERENCES, assert_same, make_batch, make_selection, triplets_of

from dmlbench import Triplets
from dmlbench_losses.easy_positive import EasyPositive
from dmlbench_losses.margin import Margin
from dmlbench_losses.quadruplet import Quadruplet
from dmlbench_losses.triplet import Triplet


@pytest.mark.parametrize("kind", [EasyPositive, Margin, Quadruplet, Triplet])
@pytest.mark.parametrize("references", REFERENCES)
def test_a_pair_mask_means_all_triplets_that_it_spans(references, kind):
    batch = make_batch(references)
    mask = make_selection("some pairs", batch.pairs)
    listed = Triplets(*torch.tensor(triplets_of(mask)).T)
    loss = kind().double()
    leaves = [*batch.raw, *loss.parameters()]
    assert_same(loss(batch.pairs, mask), loss(batch.pairs, listed), leaves, tolerance=1e-12)


# At a margin of 1 every term is above 0, so each triplet has the same weight.
@pytest.mark.parametrize("loss", [EasyPositive(), Margin(margin=1.0), Triplet(margin=1.0)])
def test_a_triplet_drawn_twice_counts_twice(loss):
    pairs = make_batch("batch").pairs
    triplets = [(0, 1, 3), (3, 4, 0), (5, 6, 7)]
    one, two, three = (loss(pairs, Triplets(*torch.tensor([t]).T)).item() for t in triplets)
    drawn = Triplets(*torch.tensor([triplets[0]] * 3 + triplets[1:]).T)
    assert loss(pairs, drawn).item() == pytest.approx((3 * one + two + three) / 5)
