"""N-pair loss against plain loops, and on embeddings of any length."""

import math

import pytest
import torch
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
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.n_pair import NPair


def by_loops(loss: NPair, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        for p in positives:
            against = sum(torch.exp(batch.s(a, n) - batch.s(a, p)) for n in negatives)
            lengths = batch.anchor(a).square().sum() + batch.pairs.references[p].square().sum()
            terms.append(torch.log(1 + torch.as_tensor(against)) + loss.length_weight / 2 * lengths)
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
def test_agrees_with_plain_loops(chosen, references):
    check_on_pairs(NPair(), by_loops, chosen, references)


@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("length_weight", [0.0, 0.1])
def test_agrees_with_plain_loops_on_embeddings_of_any_length(length_weight, chosen):
    batch = of_any_length()
    check_on_batch(
        NPair(length_weight=length_weight), by_loops, batch, make_selection(chosen, batch.pairs)
    )


def test_at_length_1_even_a_perfect_embedding_has_a_loss():
    """Which is why the embeddings aren't normalised: longer ones come near 0."""
    two_classes = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    labels = torch.tensor([0, 0, 1, 1])
    loss = NPair(length_weight=0.0)
    perfect, longer = (Pairs(length * two_classes, labels, normalized=False) for length in (1, 4))
    assert loss(perfect, all_pairs(perfect)).item() == pytest.approx(math.log1p(2 / math.e**2))
    assert loss(longer, all_pairs(longer)) < 1e-6
    assert not NPair.normalize


def test_very_long_embeddings_do_not_overflow():
    raw = (1e4 * torch.randn(12, 4, generator=torch.Generator().manual_seed(1))).requires_grad_()
    pairs = Pairs(raw, torch.arange(12) % 3, normalized=False)
    value = NPair()(pairs, all_pairs(pairs))
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
