"""ROADMAP against plain loops; its step function and the bound that it is made for."""

import math

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

from dmlbench import Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.roadmap import Roadmap


def by_loops(temperature=0.01, slope=100.0, reach=0.05, margins=(0.9, 0.6), calibration=1.0):
    def step(x: Tensor) -> Tensor:
        if x <= 0:
            return torch.sigmoid(x / temperature)
        if x <= reach:
            return torch.sigmoid(x / temperature) + 0.5
        return slope * (x - reach) + 1 / (1 + math.exp(-reach / temperature)) + 0.5

    def formula(loss: Roadmap, batch: Batch, selection: Selection) -> Tensor:
        terms, pull, push = [], [], []
        for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
            precisions = []
            for p in positives:
                rank = 1 + sum(batch.s(a, j) >= batch.s(a, p) for j in positives if j != p)
                wrong = sum(step(batch.s(a, n) - batch.s(a, p)) for n in negatives)
                precisions.append(rank / (rank + wrong))
            if precisions:
                terms.append(1 - mean(precisions))
            pull += [margins[0] - batch.s(a, p) for p in positives]
            push += [batch.s(a, n) - margins[1] for n in negatives]
        calibrate = [mean([v for v in some if v > 0]) for some in (pull, push)]
        return mean(terms) + calibration * sum(calibrate)

    return formula


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
def test_agrees_with_plain_loops(chosen, references):
    check_on_pairs(Roadmap(), by_loops(), chosen, references)


@pytest.mark.parametrize("reach", [0.0, 0.4, 1.0])
def test_agrees_with_plain_loops_with_other_settings(reach):
    settings = {"temperature": 0.2, "slope": 3.0, "reach": reach, "calibration": 0.25}
    loss = Roadmap(pos_margin=0.5, neg_margin=-0.2, **settings)
    check_on_pairs(loss, by_loops(margins=(0.5, -0.2), **settings), "all", "memory and batch")


def test_step_is_continuous_where_it_becomes_linear_and_keeps_its_slope():
    step = Roadmap(temperature=0.01, slope=100.0, reach=0.05).step
    around = 0.05 + torch.tensor([-1e-9, 0.0, 1e-9], dtype=torch.float64)
    assert step(around)[0].diff().abs().max() < 1e-6
    values, slopes = step(torch.tensor([0.2, 1.9], dtype=torch.float64))
    assert slopes.tolist() == pytest.approx([100, 100], rel=1e-12)
    assert values.diff().item() == pytest.approx(170)


def test_slope_is_the_derivative_of_the_step():
    step = Roadmap(temperature=0.1, slope=5.0, reach=0.3).step
    x = torch.linspace(-1, 1, 50, dtype=torch.float64)
    rise = (step(x + 1e-6)[0] - step(x - 1e-6)[0]) / 2e-6
    torch.testing.assert_close(step(x.clone())[1], rise, rtol=1e-6, atol=1e-6)


def test_ranking_part_bounds_average_precision_from_above():
    pairs = make_batch("memory").pairs
    chosen = all_pairs(pairs)
    missed = []
    for row, relevant in zip(pairs.similarity, pairs.positive, strict=True):
        ranked = relevant[row.argsort(descending=True)]
        hits = ranked.cumsum(0)[ranked] / (ranked.nonzero().flatten() + 1)
        if len(hits):
            missed.append(1 - hits.double().mean())
    exact = torch.stack(missed).mean()
    assert exact > 0.1
    for temperature in (0.001, 0.1, 1.0):
        assert Roadmap(temperature=temperature, calibration=0.0)(pairs, chosen) > exact
