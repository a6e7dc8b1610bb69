"""Hard positives against plain loops and against a peer."""

import pytest
from pytorch_metric_learning import miners as peer
from support.miner_loops import (
    Loops,
    batch_of_itself,
    batch_with_singletons,
    every_batch,
    every_seed,
    memory_only,
    mine,
    pairs_of,
    peer_arguments,
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


@pytest.mark.parametrize("make_pairs", [batch_of_itself, batch_with_singletons, memory_only])
@every_seed
def test_pairs_agree_with_pytorch_metric_learning(make_pairs, seed):
    pairs = make_pairs(seed)
    miner = peer.BatchEasyHardMiner(pos_strategy="hard", neg_strategy="all")
    a1, p, a2, n = miner(*peer_arguments(pairs))
    chosen = mine(HardPositive(), pairs)
    assert pairs_of(chosen.positive) == set(zip(a1.tolist(), p.tolist(), strict=True))
    assert pairs_of(chosen.negative) == set(zip(a2.tolist(), n.tolist(), strict=True))
