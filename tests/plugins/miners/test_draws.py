"""Draws by weight: as probable as the weights say, and steady where these move by rounding."""

import pytest
import torch
from scipy.stats import chisquare
from support.miner_loops import mine, on_sphere

from dmlbench import Pairs
from dmlbench_miners import draws
from dmlbench_miners.distance_weighted import DistanceWeighted
from dmlbench_miners.random_triplets import RandomTriplets
from dmlbench_miners.soft_hard import SoftHard


def share_of_others(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return (one != other).double().mean().item()


def test_weights_that_move_by_their_rounding_move_hardly_any_draw():
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(112, 112, generator=generator, dtype=torch.float64) ** 4
    weight *= 2**32 / weight.sum(1, keepdim=True)
    noise = 2e-7 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    drawn = []
    for each in (weight, weight * (1 + noise)):
        torch.manual_seed(1)
        drawn.append(draws.draw(each.long().cumsum(1), 200))
    assert share_of_others(*drawn) < 1e-3


@pytest.mark.parametrize("miner", [DistanceWeighted, RandomTriplets, SoftHard])
@pytest.mark.parametrize("dimension", [3, 64])
def test_single_and_double_precision_draw_nearly_the_same_triplets(miner, dimension):
    labels = torch.arange(336) % 28
    raw = on_sphere(len(labels), dimension, 3)
    single = mine(miner(), Pairs(raw, labels))
    double = mine(miner(), Pairs(raw.double(), labels))
    assert torch.equal(single.anchor, double.anchor)
    # Of soft-hard's sets an item on the border may be in one only, which moves all draws of a row.
    bound = 4 / len(labels) if miner is SoftHard else 1e-3
    assert share_of_others(single.positive, double.positive) <= bound
    assert share_of_others(single.negative, double.negative) <= bound


def test_columns_are_drawn_as_often_as_their_weights_say():
    weight = torch.tensor([[0, 3, 0, 1, 7, 0, 5, 0]])
    torch.manual_seed(2)
    count = draws.draw(weight.cumsum(1), 16_000).flatten().bincount(minlength=8)
    assert (count[weight[0] == 0] == 0).all()
    some = weight[0] > 0
    assert chisquare(count[some].numpy(), 1_000 * weight[0, some].numpy()).pvalue > 0.01


def test_every_whole_number_below_the_sum_belongs_to_the_column_of_its_weight(monkeypatch):
    weight = torch.tensor([[0, 3, 0, 1, 7, 0, 5, 0]])
    every = torch.arange(16)[None]
    monkeypatch.setattr(draws, "draw_below", lambda totals: every)
    drawn = draws.draw(weight.cumsum(1), 16).flatten()
    assert drawn.bincount(minlength=8).tolist() == weight[0].tolist()
