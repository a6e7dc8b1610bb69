"""All pairs, in plain loops."""

from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    pairs_of,
)

from dmlbench_miners.all_pairs import AllPairs


@every_batch
@every_seed
def test_all_pairs_are_all_pairs(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    chosen = mine(AllPairs(), pairs)
    assert pairs_of(chosen.positive) == {(a, p) for a in loops.anchors for p in loops.positives[a]}
    assert pairs_of(chosen.negative) == {(a, n) for a in loops.anchors for n in loops.negatives[a]}
