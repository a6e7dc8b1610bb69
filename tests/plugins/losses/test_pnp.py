"""PNP loss against plain loops and exact counts."""

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    make_batch,
    mean,
    pairs_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.pnp import PNP


def by_loops(loss: PNP, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        shares = []
        for p in positives:
            excess = [(batch.s(a, n) - batch.s(a, p)) / loss.temperature for n in negatives]
            before = sum((torch.sigmoid(v) for v in excess), torch.zeros(()).double())
            shares.append(1 / (1 + before) ** loss.alpha)
        if positives:
            terms.append(1 - mean(shares))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize(("alpha", "temperature"), [(4.0, 0.01), (1.0, 0.3), (2.0, 1.0)])
def test_agrees_with_plain_loops(alpha, temperature, chosen, references):
    check_on_pairs(PNP(alpha=alpha, temperature=temperature), by_loops, chosen, references)


def test_at_a_low_temperature_it_counts_the_negatives_before_each_positive():
    pairs = make_batch("memory").pairs
    similarity, terms = pairs.similarity.detach(), []
    for row, positive, negative in zip(similarity, pairs.positive, pairs.negative, strict=True):
        before = (row[negative] > row[positive][:, None]).sum(1)
        if len(before):
            terms.append(1 - (1 / (1 + before.double()) ** 4).mean())
    actual = PNP(temperature=1e-6)(pairs, all_pairs(pairs))
    assert actual.item() == pytest.approx(mean(terms).item())


def test_the_first_negatives_cost_most():
    """Its derivative falls with the count: what is far off is left to itself."""
    values = []
    for before in range(6):
        cosines = torch.tensor([0.0] + [0.5] * before + [-0.5] * (6 - before))
        references = torch.stack([cosines, (1 - cosines.square()).sqrt()], dim=1)
        pairs = Pairs(
            torch.tensor([[1.0, 0]]),
            torch.tensor([0]),
            references,
            torch.tensor([0] + [1] * 6),
            torch.tensor([-1]),
        )
        values.append(PNP(alpha=1.0)(pairs, all_pairs(pairs)).item())
    assert values == pytest.approx([1 - 1 / (1 + before) for before in range(6)], abs=1e-6)
