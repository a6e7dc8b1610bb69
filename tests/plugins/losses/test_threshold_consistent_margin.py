"""The threshold-consistent margin against plain loops."""

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
from dmlbench_losses.threshold_consistent_margin import ThresholdConsistentMargin


def by_loops(loss: ThresholdConsistentMargin, batch: Batch, selection: Selection) -> Tensor:
    positives, negatives = pairs_of(selection)
    pull = [loss.pos_margin - batch.s(a, p) for a, row in enumerate(positives) for p in row]
    push = [batch.s(a, n) - loss.neg_margin for a, row in enumerate(negatives) for n in row]
    return loss.pos_weight * mean([v for v in pull if v > 0]) + loss.neg_weight * mean(
        [v for v in push if v > 0]
    )


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
def test_agrees_with_plain_loops(chosen, references):
    loss = ThresholdConsistentMargin(neg_margin=0.2)
    check_on_pairs(loss, by_loops, chosen, references)


def test_agrees_with_plain_loops_with_other_settings():
    loss = ThresholdConsistentMargin(
        pos_margin=0.3, neg_margin=-0.1, pos_weight=0.5, neg_weight=3.0
    )
    check_on_pairs(loss, by_loops, "all", "memory and batch")


def test_pairs_on_the_right_side_cost_nothing():
    raw = torch.eye(2).repeat_interleave(2, dim=0).requires_grad_()
    pairs = Pairs(raw, torch.tensor([0, 0, 1, 1]))
    value = ThresholdConsistentMargin()(pairs, all_pairs(pairs))
    (gradient,) = torch.autograd.grad(value, raw)
    assert value == 0
    assert (gradient == 0).all()
