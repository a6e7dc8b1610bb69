"""Contrastive loss against plain loops, and pairs beyond their margins."""

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_duplicates,
    check_on_pairs,
    make_selection,
    mean,
    pairs_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench_losses.contrastive import Contrastive


def by_loops(loss: Contrastive, batch: Batch, selection: Selection) -> Tensor:
    positives, negatives = pairs_of(selection)
    pull = [batch.d(a, p) - loss.pos_margin for a, row in enumerate(positives) for p in row]
    push = [loss.neg_margin - batch.d(a, n) for a, row in enumerate(negatives) for n in row]
    return mean([v for v in pull if v > 0]) + mean([v for v in push if v > 0])


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [{}, {"pos_margin": 0.8, "neg_margin": 1.5}])
def test_agrees_with_plain_loops(settings, chosen, references):
    check_on_pairs(Contrastive(**settings), by_loops, chosen, references)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_are_no_terms_above_zero(dtype):
    check_on_duplicates(Contrastive(), by_loops, dtype)


@pytest.mark.parametrize("pos_margin", [0.0, 0.005, 0.05])
def test_near_duplicates_are_terms_above_a_margin_that_is_nearer(pos_margin):
    check_on_duplicates(Contrastive(pos_margin=pos_margin), by_loops, torch.float64, apart=0.01)


def test_pairs_beyond_their_margins_cost_nothing_and_do_not_dilute_the_others():
    """Of 2 positives and 4 negatives, one pair each way is on the wrong side of its margin."""
    angles = torch.tensor([0.0, 90.0, 180.0], dtype=torch.float64).deg2rad()
    pairs = Pairs(torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1]))
    loss = Contrastive(pos_margin=1.0, neg_margin=1.5)
    near = 2**0.5  # both ways between the positives, and from the second to the negative
    expected = (near - 1.0) + (1.5 - near)
    assert loss(pairs, make_selection("all", pairs)).item() == pytest.approx(expected)
