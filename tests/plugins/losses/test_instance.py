"""The instance loss against plain loops; its peer mistakes the partners."""

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    LABELS,
    Batch,
    assert_same,
    check_on_labels,
    cosine,
    make_batch,
    mean,
)
from torch import Tensor

from dmlbench import Pairs
from dmlbench_losses.instance import Instance


def by_loops(loss: Instance, batch: Batch, selection: None) -> Tensor:
    labels = LABELS.tolist()
    means = [
        mean([batch.anchor(i) for i, label in enumerate(labels) if label == c])
        for c in sorted(set(labels))
    ]
    terms = []
    for own in means:
        exponentials = [torch.exp(loss.scale * cosine(own, other)) for other in means]
        terms.append(-torch.log(torch.exp(loss.scale * cosine(own, own)) / sum(exponentials)))
    return mean(terms)


@pytest.mark.parametrize("scale", [2.0, 8.0])
def test_agrees_with_plain_loops(scale):
    check_on_labels(lambda **_: Instance(scale=scale), by_loops)


def test_pytorch_metric_learning_takes_the_number_of_a_class_for_a_place_in_the_batch():
    """With classes 0, 0, 0, 1, 1, … it pulls the items of class 1 to item 1, of class 0."""
    batch = make_batch("batch")
    anchors = batch.pairs.anchors
    wrong = F.cross_entropy(8 * anchors @ anchors.T, target=LABELS)
    assert_same(peer.InstanceLoss(gamma=8)(anchors, LABELS), wrong, batch.raw, tolerance=1e-7)
    assert LABELS[1] == 0


def test_order_of_the_items_does_not_matter():
    anchors = make_batch("batch").pairs.anchors
    order = torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(1))
    shuffled = Instance()(Pairs(anchors[order], LABELS[order]), None)
    torch.testing.assert_close(shuffled, Instance()(Pairs(anchors, LABELS), None))


def test_one_class_costs_nothing():
    raw = torch.randn(4, 3, requires_grad=True)
    value = Instance()(Pairs(F.normalize(raw), torch.ones(4, dtype=torch.int64)), None)
    (gradient,) = torch.autograd.grad(value, raw)
    assert value == 0
    assert gradient.abs().max() < 1e-5


def test_items_that_cancel_out_have_a_finite_gradient():
    axes = torch.eye(2)
    raw = torch.cat([axes[:1], -axes[:1], axes[1:]]).requires_grad_()
    value = Instance()(Pairs(raw, torch.tensor([0, 0, 1])), None)
    (gradient,) = torch.autograd.grad(value, raw)
    assert torch.isfinite(value)
    assert gradient.abs().max() < 1e6
