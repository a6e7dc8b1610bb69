"""Distance-weighted draws against the probabilities of the paper."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from support.miner_loops import (
    at_distances,
    frequencies,
    mine,
    triplets_of,
)

from dmlbench import ConfigError, Pairs
from dmlbench_miners.distance_weighted import DistanceWeighted


def density(distance: float, dimension: int) -> float:
    return distance ** (dimension - 2) * (1 - distance**2 / 4) ** ((dimension - 3) / 2)


@pytest.mark.parametrize("dimension", [2, 3, 4, 9])
@pytest.mark.parametrize(("lower", "upper"), [(0.5, 1.4), (0.8, 1.7)])
def test_distance_weighted_draws_by_the_inverse_density(dimension, lower, upper):
    distances = [0.3, 0.45, 0.7, 0.95, 1.2, 1.35, 1.45, 1.6, 1.75]
    weights = [1 / density(max(d, lower), dimension) if d < upper else 0 for d in distances]
    draws = 20_000
    miner = DistanceWeighted(lower_cutoff=lower, upper_cutoff=upper)
    pairs = at_distances(distances, dimension, positives=draws)
    observed = np.array(frequencies(miner, pairs, len(distances)))
    expected = draws * np.array(weights) / sum(weights)
    assert observed.sum() == draws
    assert not observed[expected == 0].any()
    assert chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 0.01


def test_distance_weighted_draws_independently_for_each_anchor():
    near = at_distances([0.6, 1.0, 1.2], dimension=5, positives=4_000)
    far = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]])  # at sqrt(2) from all of the negatives
    pairs = Pairs(
        torch.cat((near.anchors, far)),
        torch.tensor([0, 0]),
        near.references,
        near.reference_labels,
        torch.tensor([-1, -1]),
    )
    triplets = triplets_of(mine(DistanceWeighted(), pairs))
    weights = np.array([1 / density(d, 5) for d in (0.6, 1.0, 1.2)])
    counts = [Counter(n for a, _, n in triplets if a == anchor) for anchor in (0, 1)]
    observed = [[count[n] for n in range(3)] for count in counts]
    assert chisquare(observed[0], 4_000 * weights / weights.sum()).pvalue > 0.01
    assert chisquare(observed[1]).pvalue > 0.01


def test_negatives_beyond_the_upper_cutoff_are_equally_likely_when_there_are_no_others():
    pairs = at_distances([1.4001, 1.6, 1.9, 2.0], dimension=64, positives=4_000)
    observed = frequencies(DistanceWeighted(), pairs, 4)
    assert sum(observed) == 4_000
    assert chisquare(observed).pvalue > 0.01


@pytest.mark.parametrize("dimension", [128, 512, 2048])
def test_distance_weighting_stays_finite_in_high_dimensions(dimension):
    pairs = at_distances([0.0, 0.2, 0.9, 1.3, 1.39, 1.5], dimension, positives=500)
    observed = frequencies(DistanceWeighted(), pairs, 6)
    # 0 and 0.2 are both below the lower cut-off; 0.9 is rarer by at least (0.9 / 0.5)^126.
    assert observed[2:] == [0, 0, 0, 0]
    assert chisquare(observed[:2]).pvalue > 0.01


def test_distance_weighting_refuses_embeddings_off_the_sphere():
    pairs = Pairs(torch.randn(4, 3), torch.tensor([0, 0, 1, 1]), normalized=False)
    with pytest.raises(ConfigError, match="length 1"):
        DistanceWeighted().select(pairs)


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 1.4), (1.4, 1.4), (0.5, 2.0)])
def test_distance_weighting_refuses_cutoffs_where_the_density_is_not_defined(lower, upper):
    with pytest.raises(ConfigError, match="0 < lower_cutoff < upper_cutoff < 2"):
        DistanceWeighted(lower_cutoff=lower, upper_cutoff=upper)
