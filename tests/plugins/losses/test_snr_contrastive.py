"""Contrastive loss on the signal-to-noise ratio against plain loops and its peer."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from pytorch_metric_learning import regularizers
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
from dmlbench_losses.snr_contrastive import SNRContrastive


def ratio(batch: Batch, i: int, j: int) -> Tensor:
    return (batch.anchor(i) - batch.pairs.references[j]).var() / batch.anchor(i).var()


def by_loops(loss: SNRContrastive, batch: Batch, selection: Selection) -> Tensor:
    positives, negatives = pairs_of(selection)
    pull = [ratio(batch, a, p) - loss.pos_margin for a, row in enumerate(positives) for p in row]
    push = [loss.neg_margin - ratio(batch, a, n) for a, row in enumerate(negatives) for n in row]
    used = [a for a in range(len(LABELS)) if positives[a] or negatives[a]]
    off_zero = mean([batch.anchor(a).sum().abs() for a in used])
    active = mean([v for v in pull if v > 0]) + mean([v for v in push if v > 0])
    return active + loss.zero_mean_weight * off_zero


def everything(pairs: Pairs) -> PairMask:
    return PairMask(pairs.positive, pairs.negative)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [(0.0, 1.0, 0.005), (0.8, 2.5, 1.0), (0.2, 2.0, 0.0)])
def test_agrees_with_plain_loops(settings, chosen, references):
    names = ("pos_margin", "neg_margin", "zero_mean_weight")
    loss = SNRContrastive(**dict(zip(names, settings, strict=True)))
    check_on_pairs(loss, by_loops, chosen, references)


def test_agrees_with_plain_loops_on_embeddings_of_any_length():
    raw, _ = unit(len(LABELS), D, seed=1)
    batch = Batch(Pairs(raw, LABELS, normalized=False), [raw])
    selection = make_selection("all", batch.pairs)
    loss = SNRContrastive()
    assert_same(
        loss(batch.pairs, selection), by_loops(loss, batch, selection), [raw], tolerance=1e-9
    )


@pytest.mark.parametrize("zero_mean_weight", [0.0, 0.138])
def test_agrees_with_pytorch_metric_learning_with_and_without_its_regulariser(zero_mean_weight):
    labels = torch.arange(40) % 8
    raw, embeddings = unit(40, 16, seed=8)
    pairs = Pairs(embeddings, labels)
    theirs = peer.SignalToNoiseRatioContrastiveLoss(
        embedding_regularizer=regularizers.ZeroMeanRegularizer(),
        embedding_reg_weight=zero_mean_weight,
    )
    actual = SNRContrastive(zero_mean_weight=zero_mean_weight)(pairs, everything(pairs))
    assert_same(actual, theirs(embeddings, labels), [raw], tolerance=1e-7)


def test_against_a_memory_it_agrees_with_pytorch_metric_learning():
    raw, embeddings = unit(16, 16, seed=8)
    memory_raw, memory = unit(40, 16, seed=9)
    labels, memory_labels = torch.arange(16) % 4, torch.arange(40) % 5
    pairs = Pairs(embeddings, labels, memory, memory_labels, torch.full((16,), -1))
    expected = peer.SignalToNoiseRatioContrastiveLoss()(
        embeddings, labels, ref_emb=memory, ref_labels=memory_labels
    )
    actual = SNRContrastive(zero_mean_weight=0.0)(pairs, everything(pairs))
    assert_same(actual, expected, [raw, memory_raw], tolerance=1e-7)


def test_the_ratio_is_not_symmetric():
    """A louder anchor hears the same difference as less noise."""
    loud, soft = torch.tensor([[0.8, -0.6]]), torch.tensor([[0.8, 0.6]])

    def value(anchor: Tensor, reference: Tensor) -> float:
        pairs = Pairs(anchor, torch.tensor([0]), reference, torch.tensor([0]), torch.tensor([-1]))
        return SNRContrastive(zero_mean_weight=0.0)(pairs, everything(pairs)).item()

    assert value(loud, soft) == pytest.approx(0.36 / 0.49)
    assert value(soft, loud) == pytest.approx(0.36 / 0.01, rel=1e-5)


def test_a_constant_embedding_has_no_signal_but_a_finite_gradient():
    raw = torch.tensor([[0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0], [0, 1, 0, 0]]).requires_grad_()
    pairs = Pairs(raw, torch.tensor([0, 0, 1]))
    SNRContrastive()(pairs, everything(pairs)).backward()
    assert torch.isfinite(raw.grad).all()


def test_single_precision_is_enough():
    labels = torch.arange(96) % 12
    raw, _ = unit(96, 32, seed=7)
    values = []
    for dtype in (torch.float32, torch.float64):
        pairs = Pairs(torch.nn.functional.normalize(raw.detach().to(dtype)), labels)
        values.append(SNRContrastive()(pairs, everything(pairs)).item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)
