"""Triplet loss against plain loops, also on embeddings of any length."""

import pytest
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_batch,
    check_on_pairs,
    make_selection,
    mean,
    of_any_length,
    triplets_of,
)
from torch import Tensor

from dmlbench import Selection
from dmlbench_losses.triplet import Triplet


def by_loops(loss: Triplet, batch: Batch, selection: Selection) -> Tensor:
    terms = [batch.d(a, p) - batch.d(a, n) + loss.margin for a, p, n in triplets_of(selection)]
    return mean([v for v in terms if v > 0])


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [{}, {"margin": 0.0}])
def test_agrees_with_plain_loops(settings, chosen, references):
    check_on_pairs(Triplet(**settings), by_loops, chosen, references)


def test_agrees_with_plain_loops_on_embeddings_of_any_length():
    batch = of_any_length()
    check_on_batch(Triplet(), by_loops, batch, make_selection("all", batch.pairs))
