"""Hard triplets against plain loops and against a peer."""

import pytest
import torch
from pytorch_metric_learning import miners as peer
from support.miner_loops import (
    Loops,
    batch_of_itself,
    batch_with_singletons,
    every_batch,
    every_seed,
    memory_only,
    mine,
    peer_arguments,
    triplets_of,
)

from dmlbench import Pairs
from dmlbench_miners.hard_triplets import HardTriplets


@every_batch
@every_seed
def test_it_takes_every_negative_nearer_than_a_positive(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    expected = [
        (a, p, n)
        for a in loops.anchors
        for p in loops.positives[a]
        for n in loops.negatives[a]
        if loops.distance[a][n] < loops.distance[a][p]
    ]
    assert expected
    assert triplets_of(mine(HardTriplets(), pairs)) == expected


@pytest.mark.parametrize("make_pairs", [batch_of_itself, batch_with_singletons, memory_only])
@every_seed
def test_triplets_agree_with_pytorch_metric_learning(make_pairs, seed):
    pairs = make_pairs(seed)
    with torch.no_grad():
        found = peer.TripletMarginMiner(type_of_triplets="hard")(*peer_arguments(pairs))
    theirs = {tuple(triplet) for triplet in torch.stack(found).T.tolist()}
    assert set(triplets_of(mine(HardTriplets(), pairs))) == theirs


def test_a_negative_as_near_as_the_positive_is_not_hard_here_but_with_the_peer():
    embeddings = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    pairs = Pairs(embeddings, torch.tensor([0, 0, 1]), normalized=False)
    assert triplets_of(mine(HardTriplets(), pairs)) == []
    squares = peer.TripletMarginMiner(type_of_triplets="hard")
    squares.distance.normalize_embeddings = False
    assert [index.tolist() for index in squares(embeddings, pairs.labels)] == [[0], [1], [2]]
