"""Generalised lifted structure loss against plain loops; its peer counts other anchors."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_batch,
    check_on_pairs,
    make_selection,
    mean,
    of_any_length,
    pairs_of,
    unit,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.lifted_structure import LiftedStructure


def by_loops(loss: LiftedStructure, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        if positives and negatives:
            far = torch.log(sum(torch.exp(batch.d(a, p)) for p in positives))
            near = torch.log(sum(torch.exp(loss.margin - batch.d(a, n)) for n in negatives))
            terms.append((far + near).clamp_min(0))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("margin", [1.0, 0.0])
def test_agrees_with_plain_loops(margin, chosen, references):
    check_on_pairs(LiftedStructure(margin=margin), by_loops, chosen, references)


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("chosen", SELECTIONS)
def test_agrees_with_plain_loops_on_embeddings_of_any_length(chosen, length):
    batch = of_any_length(length)
    check_on_batch(LiftedStructure(), by_loops, batch, make_selection(chosen, batch.pairs))


def test_an_anchor_without_positives_is_not_counted_but_is_by_pytorch_metric_learning():
    _, embeddings = unit(9, 6, seed=8)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 4, 5])
    pairs = Pairs(embeddings, labels)
    lonely = torch.tensor([6, 7, 8])
    counted = LiftedStructure()(pairs, all_pairs(pairs))
    near = torch.logsumexp(1 - pairs.distance.masked_fill(~pairs.negative, torch.inf), 1)[lonely]
    expected = (6 * counted + near.clamp_min(0).sum()) / 9
    theirs = peer.GeneralizedLiftedStructureLoss()(embeddings, labels)
    assert theirs.item() == pytest.approx(expected.item(), rel=1e-6)
    assert abs(theirs - counted) > 0.1


def test_at_length_1_no_bracket_reaches_0_however_good_the_embedding():
    """Which is why the embeddings aren't normalised: the margin would be a constant."""
    perfect = torch.tensor([[1.0, 0], [1, 0]] + [[-1, 0]] * 14)
    labels = torch.tensor([0, 0] + [1] * 14)
    loss = LiftedStructure(margin=0.0)
    pairs = Pairs(perfect, labels)
    assert loss(pairs, all_pairs(pairs)) > 0.6
    longer = Pairs(10 * perfect, labels, normalized=False)
    assert loss(longer, all_pairs(longer)) == 0
    assert not LiftedStructure.normalize


def test_very_long_embeddings_do_not_overflow():
    raw = (1e6 * torch.randn(12, 4, generator=torch.Generator().manual_seed(1))).requires_grad_()
    pairs = Pairs(raw, torch.arange(12) % 3, normalized=False)
    value = LiftedStructure()(pairs, all_pairs(pairs))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(raw.grad).all()
