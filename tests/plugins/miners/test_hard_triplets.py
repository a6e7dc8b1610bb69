"""Hard triplets against plain loops."""

import torch
from pytorch_metric_learning import miners as peer
from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
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


def test_a_negative_as_near_as_the_positive_is_not_hard_here_but_with_the_peer():
    embeddings = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    pairs = Pairs(embeddings, torch.tensor([0, 0, 1]), normalized=False)
    assert triplets_of(mine(HardTriplets(), pairs)) == []
    squares = peer.TripletMarginMiner(type_of_triplets="hard")
    squares.distance.normalize_embeddings = False
    assert [index.tolist() for index in squares(embeddings, pairs.labels)] == [[0], [1], [2]]
