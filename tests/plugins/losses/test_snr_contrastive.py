"""Contrastive loss on the signal-to-noise ratio against plain loops."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_batch,
    check_on_duplicates,
    check_on_pairs,
    make_selection,
    mean,
    of_any_length,
    pairs_of,
    with_duplicates,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.snr_contrastive import SNRContrastive


def ratio(batch: Batch, i: int, j: int) -> Tensor:
    return (batch.anchor(i) - batch.pairs.references[j]).var() / batch.anchor(i).var()


def by_loops(loss: SNRContrastive, batch: Batch, selection: Selection) -> Tensor:
    positives, negatives = pairs_of(selection)
    pull = [ratio(batch, a, p) - loss.pos_margin for a, row in enumerate(positives) for p in row]
    push = [loss.neg_margin - ratio(batch, a, n) for a, row in enumerate(negatives) for n in row]
    used = [a for a, chosen in enumerate(zip(positives, negatives, strict=True)) if any(chosen)]
    off_zero = mean([batch.anchor(a).sum().abs() for a in used])
    active = mean([v for v in pull if v > 0]) + mean([v for v in push if v > 0])
    return active + loss.zero_mean_weight * off_zero


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [(0.0, 1.0, 0.005), (0.8, 2.5, 1.0), (0.2, 2.0, 0.0)])
def test_agrees_with_plain_loops(settings, chosen, references):
    names = ("pos_margin", "neg_margin", "zero_mean_weight")
    loss = SNRContrastive(**dict(zip(names, settings, strict=True)))
    check_on_pairs(loss, by_loops, chosen, references)


def test_agrees_with_plain_loops_on_embeddings_of_any_length():
    batch = of_any_length()
    check_on_batch(SNRContrastive(), by_loops, batch, make_selection("all", batch.pairs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("apart", [0.0, 1e-5, 1e-2])
def test_duplicates_are_no_terms_above_zero_and_near_duplicates_are(dtype, apart):
    check_on_duplicates(SNRContrastive(), by_loops, dtype, apart)


def test_with_duplicates_it_agrees_with_pytorch_metric_learning():
    pairs = with_duplicates(torch.float32).pairs
    expected = peer.SignalToNoiseRatioContrastiveLoss()(pairs.anchors, pairs.labels)
    actual = SNRContrastive(zero_mean_weight=0.0)(pairs, all_pairs(pairs))
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_ratio_is_not_symmetric():
    """A louder anchor hears the same difference as less noise."""
    loud, soft = torch.tensor([[0.8, -0.6]]), torch.tensor([[0.8, 0.6]])

    def value(anchor: Tensor, reference: Tensor) -> float:
        pairs = Pairs(anchor, torch.tensor([0]), reference, torch.tensor([0]), torch.tensor([-1]))
        return SNRContrastive(zero_mean_weight=0.0)(pairs, all_pairs(pairs)).item()

    assert value(loud, soft) == pytest.approx(0.36 / 0.49)
    assert value(soft, loud) == pytest.approx(0.36 / 0.01, rel=1e-5)


def test_a_constant_embedding_has_no_signal_but_a_finite_gradient():
    raw = torch.tensor([[0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0], [0, 1, 0, 0]]).requires_grad_()
    pairs = Pairs(raw, torch.tensor([0, 0, 1]))
    SNRContrastive()(pairs, all_pairs(pairs)).backward()
    assert torch.isfinite(raw.grad).all()
