"""Intra-pair variance against plain loops and its peer."""

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
from dmlbench_losses.intra_pair_variance import IntraPairVariance


def by_loops(loss: IntraPairVariance, batch: Batch, selection: Selection) -> Tensor:
    positives, negatives = pairs_of(selection)
    near = [batch.s(a, p) for a, row in enumerate(positives) for p in row]
    far = [batch.s(a, n) for a, row in enumerate(negatives) for n in row]
    low, high = (1 - loss.pos_eps) * mean(near), (1 + loss.neg_eps) * mean(far)
    pull = mean([(low - s).clamp_min(0) ** 2 for s in near])
    return pull + mean([(s - high).clamp_min(0) ** 2 for s in far])


def everything(pairs: Pairs) -> PairMask:
    return PairMask(pairs.positive, pairs.negative)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize(("pos_eps", "neg_eps"), [(0.01, 0.01), (0.3, 0.5)])
def test_agrees_with_plain_loops(pos_eps, neg_eps, chosen, references):
    loss = IntraPairVariance(pos_eps=pos_eps, neg_eps=neg_eps)
    check_on_pairs(loss, by_loops, chosen, references)


def test_agrees_with_pytorch_metric_learning():
    labels = torch.arange(40) % 8
    raw, embeddings = unit(40, 16, seed=8)
    pairs = Pairs(embeddings, labels)
    actual = IntraPairVariance()(pairs, everything(pairs))
    assert_same(actual, peer.IntraPairVarianceLoss()(embeddings, labels), [raw], tolerance=1e-7)


def test_against_a_memory_it_agrees_with_pytorch_metric_learning():
    raw, embeddings = unit(16, 16, seed=8)
    memory_raw, memory = unit(40, 16, seed=9)
    labels, memory_labels = torch.arange(16) % 4, torch.arange(40) % 5
    pairs = Pairs(embeddings, labels, memory, memory_labels, torch.full((16,), -1))
    expected = peer.IntraPairVarianceLoss()(
        embeddings, labels, ref_emb=memory, ref_labels=memory_labels
    )
    actual = IntraPairVariance()(pairs, everything(pairs))
    assert_same(actual, expected, [raw, memory_raw], tolerance=1e-7)


def test_pairs_of_a_kind_that_are_all_alike_cost_nothing_however_bad_they_are():
    """No loss by itself: nothing in it keeps positives and negatives apart."""
    collapsed = Pairs(torch.ones(6, 1), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert IntraPairVariance()(collapsed, everything(collapsed)) == 0
    assert IntraPairVariance.trained_as == "tuplet-margin+0.5*intra-pair-variance"
