"""Random triplets: one negative for each positive pair, and all equally often."""

import pytest
from scipy.stats import chisquare
from support.miner_loops import (
    Loops,
    at_distances,
    every_batch,
    every_seed,
    frequencies,
    mine,
    triplets_of,
)

from dmlbench_miners.distance_weighted import DistanceWeighted
from dmlbench_miners.random_triplets import RandomTriplets


@every_batch
@every_seed
@pytest.mark.parametrize("miner", [DistanceWeighted, RandomTriplets])
def test_random_miners_give_each_positive_pair_one_negative_of_its_anchor(miner, make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    triplets = triplets_of(mine(miner(), pairs))
    assert [triplet[:2] for triplet in triplets] == loops.positive_pairs_with_a_negative()
    assert all(n in loops.negatives[a] for a, _, n in triplets)


def test_random_triplets_draw_all_negatives_equally_often():
    pairs = at_distances([0.1, 0.4, 0.8, 1.1, 1.5, 1.8, 1.9], dimension=3, positives=7_000)
    observed = frequencies(RandomTriplets(), pairs, 7)
    assert sum(observed) == 7_000
    assert chisquare(observed).pvalue > 0.01
