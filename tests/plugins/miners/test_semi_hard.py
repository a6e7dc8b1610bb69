"""Semi-hard mining against plain loops, and its distance."""

import pytest
from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    of_different_lengths,
    triplets_of,
)

from dmlbench_miners.semi_hard import SemiHard


@every_batch
@every_seed
@pytest.mark.parametrize("margin", [0.05, 0.2, 1.0])
def test_semi_hard_takes_every_negative_within_the_margin(make_pairs, seed, margin):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    expected = [
        (a, p, n)
        for a in loops.anchors
        for p in loops.positives[a]
        for n in loops.negatives[a]
        if loops.distance[a][p] < loops.distance[a][n] < loops.distance[a][p] + margin
    ]
    assert triplets_of(mine(SemiHard(margin=margin), pairs)) == expected


def test_the_margin_is_one_of_euclidean_distances_where_lengths_differ():
    """1.14 < 1.56 < 1.64; squares would be 1.30 and 2.44."""
    pairs = of_different_lengths()
    assert triplets_of(mine(SemiHard(margin=0.5), pairs)) == [(3, 2, 0)]
