"""N-pair loss against plain loops and its peers, and on embeddings of any length."""

import math

import pytest
import torch
from pytorch_metric_learning import distances
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
from dmlbench_losses.n_pair import NPair


def by_loops(loss: NPair, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        for p in positives:
            against = sum(torch.exp(batch.s(a, n) - batch.s(a, p)) for n in negatives)
            lengths = batch.anchor(a).square().sum() + batch.pairs.references[p].square().sum()
            terms.append(torch.log(1 + torch.as_tensor(against)) + loss.length_weight / 2 * lengths)
    return mean(terms)


def everything(pairs: Pairs) -> PairMask:
    return PairMask(pairs.positive, pairs.negative)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
def test_agrees_with_plain_loops(chosen, references):
    check_on_pairs(NPair(), by_loops, chosen, references)


@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("length_weight", [0.0, 0.1])
def test_agrees_with_plain_loops_on_embeddings_of_any_length(length_weight, chosen):
    raw, _ = unit(len(LABELS), D, seed=1)
    batch = Batch(Pairs(raw, LABELS, normalized=False), [raw])
    selection = make_selection(chosen, batch.pairs)
    loss = NPair(length_weight=length_weight)
    assert_same(
        loss(batch.pairs, selection), by_loops(loss, batch, selection), [raw], tolerance=1e-9
    )


def test_on_the_papers_n_pairs_it_agrees_with_pytorch_metric_learning():
    """One pair a class: the first items are anchors, held against the second ones."""
    raw, _ = unit(16, 6, seed=8)
    labels = torch.arange(8).repeat_interleave(2)
    pairs = Pairs(raw, labels, normalized=False)
    n_pairs = torch.zeros(16, 16, dtype=torch.bool)
    n_pairs[::2, 1::2] = True
    selection = PairMask(pairs.positive & n_pairs, pairs.negative & n_pairs)
    plain = distances.DotProductSimilarity(normalize_embeddings=False)
    expected = peer.NPairsLoss(distance=plain)(raw, labels)
    assert_same(NPair(length_weight=0.0)(pairs, selection), expected, [raw], tolerance=1e-7)


def test_without_a_penalty_it_is_nt_xent_of_inner_products():
    raw, _ = unit(40, 16, seed=8)
    labels = torch.arange(40) % 8
    pairs = Pairs(raw, labels, normalized=False)
    plain = distances.DotProductSimilarity(normalize_embeddings=False)
    expected = peer.NTXentLoss(temperature=1, distance=plain)(raw, labels)
    actual = NPair(length_weight=0.0)(pairs, everything(pairs))
    assert_same(actual, expected, [raw], tolerance=1e-7)


def test_at_length_1_even_a_perfect_embedding_has_a_loss():
    """Which is why the embeddings aren't normalised: longer ones come near 0."""
    two_classes = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    labels = torch.tensor([0, 0, 1, 1])
    loss = NPair(length_weight=0.0)
    perfect, longer = (Pairs(length * two_classes, labels, normalized=False) for length in (1, 4))
    assert loss(perfect, everything(perfect)).item() == pytest.approx(math.log1p(2 / math.e**2))
    assert loss(longer, everything(longer)) < 1e-6
    assert not NPair.normalize


def test_very_long_embeddings_do_not_overflow():
    raw = (1e4 * torch.randn(12, 4, generator=torch.Generator().manual_seed(1))).requires_grad_()
    pairs = Pairs(raw, torch.arange(12) % 3, normalized=False)
    value = NPair()(pairs, everything(pairs))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(raw.grad).all()


def test_only_the_lengths_of_selected_positive_pairs_are_penalised():
    raw = torch.eye(4).requires_grad_()
    pairs = Pairs(raw, torch.tensor([0, 0, 1, 1]), normalized=False)
    positive = torch.zeros(4, 4, dtype=torch.bool)
    positive[0, 1] = True
    NPair()(pairs, PairMask(positive, torch.zeros_like(positive))).backward()
    assert raw.grad[:2].abs().sum() > 0
    assert raw.grad[2:].abs().sum() == 0
