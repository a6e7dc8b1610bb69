"""Hard pairs against plain loops."""

from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    one_class,
    pairs_of,
)

from dmlbench_miners.hard_pairs import HardPairs


@every_batch
@every_seed
def test_it_takes_the_furthest_positive_and_the_nearest_negative_of_each_anchor(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    positives, negatives = set(), set()
    for a in loops.anchors:
        distance = loops.distance[a].__getitem__
        positives |= {(a, max(loops.positives[a], key=distance)) for _ in loops.positives[a][:1]}
        negatives |= {(a, min(loops.negatives[a], key=distance)) for _ in loops.negatives[a][:1]}
    chosen = mine(HardPairs(), pairs)
    assert positives
    assert pairs_of(chosen.positive) == positives
    assert pairs_of(chosen.negative) == negatives


def test_a_positive_pair_needs_no_negative():
    chosen = mine(HardPairs(), one_class(0))
    assert chosen.positive.sum(1).tolist() == [1] * 6
    assert not chosen.negative.any()
