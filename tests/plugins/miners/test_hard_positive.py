"""Hard positives against plain loops."""

from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    triplets_of,
)

from dmlbench import as_triplets
from dmlbench_miners.hard_positive import HardPositive


@every_batch
@every_seed
def test_the_furthest_positive_meets_every_negative_of_its_anchor(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    expected = [
        (a, max(loops.positives[a], key=loops.distance[a].__getitem__), n)
        for a in loops.anchors
        if loops.positives[a]
        for n in loops.negatives[a]
    ]
    assert expected
    assert triplets_of(as_triplets(mine(HardPositive(), pairs))) == expected
