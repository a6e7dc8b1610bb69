"""Multi-similarity loss against plain loops."""

import pytest
import torch
from support.loss_loops import (
    LABELS,
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    pairs_of,
)
from torch import Tensor

from dmlbench import Selection
from dmlbench_losses.multi_similarity import MultiSimilarity


def by_loops(loss: MultiSimilarity, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        pull = sum(torch.exp(-loss.alpha * (batch.s(a, p) - loss.base)) for p in positives)
        push = sum(torch.exp(loss.beta * (batch.s(a, n) - loss.base)) for n in negatives)
        for total, sharpness in ((pull, loss.alpha), (push, loss.beta)):
            if total != 0:
                terms.append(torch.log(1 + total) / sharpness)
    return sum(terms) / len(LABELS)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [{}, {"alpha": 9.0, "base": 1.0}])
def test_agrees_with_plain_loops(settings, chosen, references):
    check_on_pairs(MultiSimilarity(**settings), by_loops, chosen, references)
