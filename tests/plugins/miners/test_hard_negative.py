"""Hard negatives against plain loops."""

from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    triplets_of,
)

from dmlbench_miners.hard_negative import HardNegative


@every_batch
@every_seed
def test_every_positive_pair_gets_the_nearest_negative_of_its_anchor(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    expected = [
        (a, p, min(loops.negatives[a], key=loops.distance[a].__getitem__))
        for a, p in loops.positive_pairs_with_a_negative()
    ]
    assert expected
    assert triplets_of(mine(HardNegative(), pairs)) == expected
