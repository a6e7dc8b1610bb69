"""Intra-pair variance against plain loops."""

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    mean,
    pairs_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.intra_pair_variance import IntraPairVariance


def by_loops(loss: IntraPairVariance, batch: Batch, selection: Selection) -> Tensor:
    positives, negatives = pairs_of(selection)
    near = [batch.s(a, p) for a, row in enumerate(positives) for p in row]
    far = [batch.s(a, n) for a, row in enumerate(negatives) for n in row]
    low, high = (1 - loss.pos_eps) * mean(near), (1 + loss.neg_eps) * mean(far)
    pull = mean([(low - s).clamp_min(0) ** 2 for s in near])
    return pull + mean([(s - high).clamp_min(0) ** 2 for s in far])


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize(("pos_eps", "neg_eps"), [(0.01, 0.01), (0.3, 0.5)])
def test_agrees_with_plain_loops(pos_eps, neg_eps, chosen, references):
    loss = IntraPairVariance(pos_eps=pos_eps, neg_eps=neg_eps)
    check_on_pairs(loss, by_loops, chosen, references)


def test_pairs_of_a_kind_that_are_all_alike_cost_nothing_however_bad_they_are():
    """No loss by itself: nothing in it keeps positives and negatives apart."""
    collapsed = Pairs(torch.ones(6, 1), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert IntraPairVariance()(collapsed, all_pairs(collapsed)) == 0
    assert IntraPairVariance.trained_as == "tuplet-margin+0.5*intra-pair-variance"
