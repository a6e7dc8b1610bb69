"""P2SGrad against plain loops, the gradient of the paper, and its peer."""

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    LABELS,
    SIZES,
    Batch,
    C,
    assert_same,
    check_on_labels,
    cosine,
    make_batch,
    mean,
)
from torch import Tensor

from dmlbench_losses.p2s_grad import P2SGrad


def by_loops(loss: P2SGrad, batch: Batch, selection: None) -> Tensor:
    terms = []
    for i, label in enumerate(LABELS.tolist()):
        errors = [cosine(batch.anchor(i), loss.weight[c]) - int(c == label) for c in range(C)]
        terms.append(sum(error**2 for error in errors) / 2)
    return mean(terms)


def test_agrees_with_plain_loops():
    check_on_labels(P2SGrad, by_loops)


def test_gradient_is_the_one_that_the_paper_defines():
    loss, batch = P2SGrad(**SIZES).double(), make_batch("batch")
    (raw,) = batch.raw
    expected = torch.zeros_like(raw)
    for i, label in enumerate(LABELS.tolist()):
        for c in range(C):
            value = cosine(batch.anchor(i), loss.weight[c])
            (slope,) = torch.autograd.grad(value, raw, retain_graph=True)
            expected += (value.detach() - int(c == label)) * slope / len(LABELS)
    (gradient,) = torch.autograd.grad(loss(batch.pairs, None), raw)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)


def test_it_is_half_the_number_of_classes_times_that_of_pytorch_metric_learning():
    ours, batch = P2SGrad(**SIZES).double(), make_batch("batch")
    theirs = peer.P2SGradLoss(SIZES["embedding_dim"], C).double()
    theirs.weight.data.copy_(F.normalize(ours.weight.detach()).T)
    expected = theirs(batch.pairs.anchors, LABELS) * C / 2
    actual = ours(batch.pairs, None)
    assert_same(actual, expected, batch.raw, tolerance=1e-7)
    # The peer lacks the term along a weight's own direction. What a step of plain SGD makes of it
    # is undone when the weight is brought to length 1.
    (mine,) = torch.autograd.grad(actual, ours.weight)
    (other,) = torch.autograd.grad(expected, theirs.weight)
    direction = F.normalize(ours.weight.detach())
    along = (other.T * direction).sum(1, keepdim=True)
    assert along.abs().min() > 1e-3
    assert (mine * direction).sum(1).abs().max() < 1e-12
    across = other.T - along * direction
    lengths = ours.weight.detach().norm(dim=1, keepdim=True)
    torch.testing.assert_close(mine * lengths, across, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_length_of_the_class_weights_does_not_matter(factor):
    loss, batch = P2SGrad(**SIZES).double(), make_batch("batch")
    before = loss(batch.pairs, None)
    with torch.no_grad():
        loss.weight *= factor
    torch.testing.assert_close(loss(batch.pairs, None), before)
