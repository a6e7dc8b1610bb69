"""Margin loss and its boundary against plain loops."""

import pytest
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
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
