"""Cross entropy against its formula in plain loops and PyTorch's."""

import math

import pytest
import torch
import torch.nn.functional as F
from support.loss_loops import LABELS, SIZES, Batch, C, check_on_labels, make_batch, mean
from torch import Tensor

from dmlbench import Pairs
from dmlbench_losses.cross_entropy import CrossEntropy


def by_loops(loss: CrossEntropy, batch: Batch, selection: None) -> Tensor:
    terms = []
    for i, label in enumerate(LABELS.tolist()):
        logits = [(loss.weight[c] * batch.anchor(i)).sum() + loss.bias[c] for c in range(C)]
        total = sum(torch.exp(logit) for logit in logits)
        for c, logit in enumerate(logits):
            smoothing = loss.label_smoothing
            target = 1 - smoothing if c == label else smoothing / (C - 1)
            terms.append(-target * torch.log(torch.exp(logit) / total))
    return C * mean(terms)


def trained(**settings: float) -> CrossEntropy:
    """Return a loss whose weights are no longer all 0."""
    loss = CrossEntropy(**settings)
    with torch.no_grad():
        loss.weight.normal_()
        loss.bias.normal_()
    return loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_value_and_gradient_agree_with_plain_loops(smoothing):
    check_on_labels(lambda **sizes: trained(**sizes, label_smoothing=smoothing), by_loops)


def test_pytorch_spreads_label_smoothing_over_the_true_class_too():
    loss = trained(**SIZES, label_smoothing=0.2).double()
    pairs = make_batch("batch").pairs
    logits = pairs.anchors @ loss.weight.T + loss.bias
    expected = F.cross_entropy(logits, LABELS, label_smoothing=0.2 * C / (C - 1))
    assert loss(pairs, None).item() == pytest.approx(expected.item(), rel=1e-12)


def test_before_training_all_classes_are_equally_likely():
    value = CrossEntropy(**SIZES)(Pairs(torch.randn(10, SIZES["embedding_dim"]), LABELS), None)
    assert value.item() == pytest.approx(math.log(C))


def test_the_length_of_an_embedding_counts():
    assert not CrossEntropy.normalize
    loss = trained(**SIZES).double()
    anchors = make_batch("batch").pairs.anchors
    values = [loss(Pairs(k * anchors, LABELS, normalized=False), None).item() for k in (1, 3)]
    assert values[0] != pytest.approx(values[1], rel=0.01)


@pytest.mark.parametrize(("classes", "smoothing"), [(1, 0.1), (1, 0.5), (2, 0.5)])
def test_one_class_or_two_have_finite_values_and_gradients(classes, smoothing):
    loss = trained(num_classes=classes, embedding_dim=3, label_smoothing=smoothing)
    anchors = torch.randn(4, 3, requires_grad=True)
    value = loss(Pairs(anchors, torch.arange(4) % classes, normalized=False), None)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(anchors.grad).all()
