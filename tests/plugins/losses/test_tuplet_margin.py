"""Tuplet margin loss against plain loops, and where an angle is 0 or 180 degrees."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as peer
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
from dmlbench_losses.tuplet_margin import TupletMargin


def by_loops(loss: TupletMargin, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        for p in positives:
            slackened = torch.cos(torch.acos(batch.s(a, p)) - math.radians(loss.margin))
            against = sum(torch.exp(loss.scale * (batch.s(a, n) - slackened)) for n in negatives)
            terms.append(torch.log(1 + torch.as_tensor(against)))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize(("margin", "scale"), [(5.73, 64.0), (30.0, 8.0), (0.0, 16.0)])
def test_agrees_with_plain_loops(margin, scale, chosen, references):
    check_on_pairs(TupletMargin(margin=margin, scale=scale), by_loops, chosen, references)


@pytest.mark.parametrize("positive", [1.0, -1.0])
def test_a_positive_equal_or_opposite_to_its_anchor_has_a_finite_gradient(positive):
    """The arc cosine of the peer has none there."""
    raw = torch.tensor([[1.0, 0], [positive, 0], [0, 1], [0, positive]]).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    pairs = Pairs(raw, labels)
    (gradient,) = torch.autograd.grad(TupletMargin()(pairs, all_pairs(pairs)), raw)
    assert torch.isfinite(gradient).all()
    (theirs,) = torch.autograd.grad(peer.TupletMarginLoss()(raw, labels), raw)
    assert not torch.isfinite(theirs).all()


def test_no_positive_need_come_nearer_than_the_slack():
    angles = torch.deg2rad(torch.tensor([0.0, 5.0, 10.0, 15.0, 20.0]))
    memory = torch.stack([angles.cos(), angles.sin()], dim=1)
    values = []
    for positive in memory:
        pairs = Pairs(
            torch.tensor([[1.0, 0]]),
            torch.tensor([0]),
            torch.stack([positive, torch.tensor([0.6, 0.8])]),
            torch.tensor([0, 1]),
            torch.tensor([-1]),
        )
        values.append(TupletMargin(margin=10.0)(pairs, all_pairs(pairs)).item())
    assert min(values) == values[2]
