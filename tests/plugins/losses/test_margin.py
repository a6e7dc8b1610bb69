"""Margin loss and its boundary against plain loops."""

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    make_batch,
    make_selection,
    mean,
    triplets_of,
)
from torch import Tensor

from dmlbench import Selection
from dmlbench_losses.margin import Margin


def by_loops(loss: Margin, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, p, n in triplets_of(selection):
        terms.append(batch.d(a, p) - loss.beta + loss.margin)
        terms.append(loss.beta - batch.d(a, n) + loss.margin)
    return mean([v for v in terms if v > 0])


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [{}, {"beta": 0.9, "margin": 0.1}])
def test_agrees_with_plain_loops(settings, chosen, references):
    check_on_pairs(Margin(**settings), by_loops, chosen, references)


def test_roth_et_al_count_a_triplet_once_if_both_its_terms_are_above_zero():
    batch, loss = make_batch("batch"), Margin(margin=0.5)
    selection = make_selection("all", batch.pairs)
    boundary, margin = loss.beta.item(), loss.margin
    terms = torch.tensor(
        [
            (batch.d(a, p).item() - boundary + margin, boundary - batch.d(a, n).item() + margin)
            for a, p, n in triplets_of(selection)
        ]
    ).relu()
    pull, push = terms.T > 0
    assert (pull & push).any()
    counted = (pull + push).sum()  # as their code does: the sum of two booleans is a boolean
    assert counted == (pull | push).sum() < pull.sum() + push.sum()
    theirs, ours = terms.sum() / counted, loss(batch.pairs, selection).item()
    assert ours == pytest.approx((terms.sum() / (terms > 0).sum()).item(), rel=1e-5)
    assert ours < theirs < 2 * ours
