"""Hard negatives against plain loops and against a peer."""

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

from dmlbench import as_pair_mask
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


@pytest.mark.parametrize("make_pairs", [batch_of_itself, batch_with_singletons, memory_only])
@every_seed
def test_its_pairs_are_those_of_pytorch_metric_learning(make_pairs, seed):
    pairs = make_pairs(seed)
    miner = peer.BatchEasyHardMiner(pos_strategy="all", neg_strategy="hard")
    a1, p, a2, n = miner(*peer_arguments(pairs))
    chosen = as_pair_mask(mine(HardNegative(), pairs), pairs)
    anchors = {a for a, _ in pairs_of(chosen.positive)}
    assert pairs_of(chosen.positive) == set(zip(a1.tolist(), p.tolist(), strict=True))
    # They keep the negatives of anchors without a positive, too.
    theirs = {(a, j) for a, j in zip(a2.tolist(), n.tolist(), strict=True) if a in anchors}
    assert pairs_of(chosen.negative) == theirs
