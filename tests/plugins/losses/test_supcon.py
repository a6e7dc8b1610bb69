"""Supervised contrastive loss against plain loops."""

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    mean,
    pairs_of,
)
from torch import Tensor

from dmlbench import Selection
from dmlbench_losses.supcon import SupCon


def by_loops(loss: SupCon, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        others = [torch.exp(batch.s(a, k) / loss.temperature) for k in positives + negatives]
        log_shares = [
            torch.log(torch.exp(batch.s(a, p) / loss.temperature) / sum(others)) for p in positives
        ]
        if positives:
            terms.append(-sum(log_shares) / len(positives))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.02}])
def test_agrees_with_plain_loops(settings, chosen, references):
    check_on_pairs(SupCon(**settings), by_loops, chosen, references)
