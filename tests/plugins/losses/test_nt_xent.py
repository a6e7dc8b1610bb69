"""NT-Xent against plain loops."""

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
from dmlbench_losses.nt_xent import NTXent


def by_loops(loss: NTXent, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        against = sum(torch.exp(batch.s(a, n) / loss.temperature) for n in negatives)
        for p in positives:
            own = torch.exp(batch.s(a, p) / loss.temperature)
            terms.append(-torch.log(own / (own + against)))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5}])
def test_agrees_with_plain_loops(settings, chosen, references):
    check_on_pairs(NTXent(**settings), by_loops, chosen, references)
