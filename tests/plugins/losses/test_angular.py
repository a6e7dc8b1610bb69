"""Angular loss against plain loops, its peer, and the geometry that it stands for."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    assert_same,
    check_on_pairs,
    mean,
    pairs_of,
    unit,
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection
from dmlbench_losses.angular import Angular


def by_loops(loss: Angular, batch: Batch, selection: Selection) -> Tensor:
    """Derived anew: the constant is what a triangle of unit vectors leaves beside f."""
    squared = math.tan(math.radians(loss.alpha)) ** 2
    constant = 2 - 6 * squared
    references = batch.pairs.references
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        for p in positives:
            middle = (batch.anchor(a) + references[p]) / 2
            total = torch.ones((), dtype=torch.float64)
            for n in negatives:
                to_middle = (references[n] - middle).square().sum()
                total = total + torch.exp(batch.d(a, p) ** 2 - 4 * squared * to_middle - constant)
            terms.append(torch.log(total))
    return mean(terms)


def everything(pairs: Pairs) -> PairMask:
    return PairMask(pairs.positive, pairs.negative)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("alpha", [45.0, 36.0, 60.0])
def test_agrees_with_plain_loops(alpha, chosen, references):
    check_on_pairs(Angular(alpha=alpha), by_loops, chosen, references)


@pytest.mark.parametrize("alpha", [40.0, 55.0])
def test_agrees_with_pytorch_metric_learning(alpha):
    labels = torch.arange(40) % 8
    raw, embeddings = unit(40, 16, seed=8)
    pairs = Pairs(embeddings, labels)
    actual = Angular(alpha=alpha)(pairs, everything(pairs))
    assert_same(actual, peer.AngularLoss(alpha=alpha)(embeddings, labels), [raw], tolerance=1e-7)


def test_against_a_memory_it_agrees_with_pytorch_metric_learning():
    raw, embeddings = unit(16, 16, seed=8)
    memory_raw, memory = unit(40, 16, seed=9)
    labels, memory_labels = torch.arange(16) % 4, torch.arange(40) % 5
    pairs = Pairs(embeddings, labels, memory, memory_labels, torch.full((16,), -1))
    expected = peer.AngularLoss()(embeddings, labels, ref_emb=memory, ref_labels=memory_labels)
    actual = Angular(alpha=40.0)(pairs, everything(pairs))
    assert_same(actual, expected, [raw, memory_raw], tolerance=1e-7)


def test_one_large_class_among_small_ones_agrees_with_plain_loops():
    """Far more positive pairs than anchors: several rounds."""
    raw, embeddings = unit(10, 5, seed=6)
    batch = Batch(Pairs(embeddings, torch.tensor([0] * 7 + [1, 1, 2])), [raw])
    selection = everything(batch.pairs)
    loss = Angular()
    assert_same(
        loss(batch.pairs, selection), by_loops(loss, batch, selection), [raw], tolerance=1e-9
    )


def test_a_wider_angle_is_more_lenient_with_a_far_negative():
    """The larger the angle that is allowed, the less a distant negative matters."""
    directions = torch.deg2rad(torch.tensor([0.0, 40.0, 180.0]))
    vectors = torch.stack([directions.cos(), directions.sin()], dim=1)
    pairs = Pairs(vectors, torch.tensor([0, 0, 1]))
    values = [Angular(alpha=alpha)(pairs, everything(pairs)).item() for alpha in (10, 30, 50)]
    assert values == sorted(values, reverse=True)


def test_single_precision_is_enough():
    labels = torch.arange(96) % 12
    raw, _ = unit(96, 32, seed=7)
    results = []
    for dtype in (torch.float32, torch.float64):
        vectors = raw.detach().to(dtype).requires_grad_()
        pairs = Pairs(torch.nn.functional.normalize(vectors), labels)
        value = Angular(alpha=60.0)(pairs, everything(pairs))
        results.append((value.item(), torch.autograd.grad(value, vectors)[0].double()))
    (value, gradient), (exact_value, exact_gradient) = results
    assert value == pytest.approx(exact_value, rel=1e-5)
    assert (gradient - exact_gradient).norm() < 1e-4 * exact_gradient.norm()
