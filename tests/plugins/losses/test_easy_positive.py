"""Easy-positive loss against plain loops, and where the exponential overflows."""

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    mean,
    triplets_of,
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection, Triplets
from dmlbench_losses.easy_positive import EasyPositive


def by_loops(loss: EasyPositive, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, p, n in triplets_of(selection):
        near, far = (torch.exp(batch.s(a, j) / loss.temperature) for j in (p, n))
        terms.append(-torch.log(near / (near + far)))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("temperature", [0.1, 1.0, 0.02])
def test_agrees_with_plain_loops(temperature, chosen, references):
    check_on_pairs(EasyPositive(temperature=temperature), by_loops, chosen, references)


@pytest.mark.parametrize("listed", [True, False])
def test_is_finite_and_exact_where_the_exponential_overflows(listed):
    raw = torch.tensor([[1.0, 0], [-1, 0], [1, 0]]).requires_grad_()
    pairs = Pairs(raw, torch.tensor([0, 0, 1]))
    only = torch.zeros(3, 3, dtype=torch.bool)
    only[0] = True
    selection = PairMask(pairs.positive & only, pairs.negative & only)
    if listed:
        selection = Triplets(*torch.tensor(triplets_of(selection)).T)
    value = EasyPositive(temperature=0.001)(pairs, selection)
    value.backward()
    assert value.item() == pytest.approx(2000)
    assert torch.isfinite(raw.grad).all()
