"""NCA against plain loops and its peer."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    LABELS,
    REFERENCES,
    SELECTIONS,
    Batch,
    D,
    assert_same,
    check_on_pairs,
    make_selection,
    mean,
    pairs_of,
    unit,
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection
from dmlbench_losses.nca import NCA


def by_loops(loss: NCA, batch: Batch, selection: Selection) -> Tensor:
    def weight(a: int, j: int) -> Tensor:
        return torch.exp(-loss.scale * batch.d(a, j) ** 2)

    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        if positives:
            own = sum(weight(a, p) for p in positives)
            terms.append(-torch.log(own / (own + sum(weight(a, n) for n in negatives))))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("scale", [9.0, 0.5])
def test_agrees_with_plain_loops(scale, chosen, references):
    check_on_pairs(NCA(scale=scale), by_loops, chosen, references)


def test_agrees_with_plain_loops_on_embeddings_of_any_length():
    raw, _ = unit(len(LABELS), D, seed=1)
    batch = Batch(Pairs(raw, LABELS, normalized=False), [raw])
    selection = make_selection("all", batch.pairs)
    loss = NCA(scale=0.3)
    assert_same(
        loss(batch.pairs, selection), by_loops(loss, batch, selection), [raw], tolerance=1e-9
    )


@pytest.mark.parametrize("scale", [1.0, 9.0])
def test_agrees_with_pytorch_metric_learning(scale):
    labels = torch.arange(40) % 8
    raw, embeddings = unit(40, 16, seed=8)
    pairs = Pairs(embeddings, labels)
    actual = NCA(scale=scale)(pairs, PairMask(pairs.positive, pairs.negative))
    assert_same(actual, peer.NCALoss(softmax_scale=scale)(embeddings, labels), [raw], 1e-7)


def test_against_a_memory_it_agrees_with_pytorch_metric_learning():
    labels, memory_labels = torch.arange(16) % 4, torch.arange(40) % 5
    raw, embeddings = unit(16, 16, seed=8)
    memory_raw, memory = unit(40, 16, seed=9)
    pairs = Pairs(embeddings, labels, memory, memory_labels, torch.full((16,), -1))
    actual = NCA()(pairs, PairMask(pairs.positive, pairs.negative))
    expected = peer.NCALoss(softmax_scale=9)(
        embeddings, labels, ref_emb=memory, ref_labels=memory_labels
    )
    assert_same(actual, expected, [raw, memory_raw], tolerance=1e-7)


def test_positives_too_far_away_for_an_exponential_still_have_a_gradient():
    """Single precision has no number below exp(-103): the peer drops such anchors, all of them."""
    axes = torch.eye(2)
    raw = torch.cat([axes[:1], -axes[:1], axes[:1], -axes[:1]]).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    pairs = Pairs(raw, labels)
    value = NCA(scale=100.0)(pairs, PairMask(pairs.positive, pairs.negative))
    assert value.item() == pytest.approx(400)
    assert peer.NCALoss(softmax_scale=100)(raw, labels).isnan()
    (gradient,) = torch.autograd.grad(value, raw)
    assert gradient.abs().max() > 1
