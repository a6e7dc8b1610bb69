"""Easy-positive mining against plain loops."""

import torch
from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    triplets_of,
)

from dmlbench import Pairs
from dmlbench_miners.easy_positive import EasyPositive


@every_batch
@every_seed
def test_it_takes_the_nearest_positive_and_the_nearest_negative_behind_it(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    expected = []
    for a in loops.anchors:
        distance = loops.distance[a].__getitem__
        if loops.positives[a]:
            p = min(loops.positives[a], key=distance)
            behind = [n for n in loops.negatives[a] if distance(n) > distance(p)]
            if behind:
                expected.append((a, p, min(behind, key=distance)))
    assert expected
    assert triplets_of(mine(EasyPositive(), pairs)) == expected


def test_anchors_whose_negatives_are_all_nearer_are_left_out():
    embeddings = torch.tensor([[0.0], [9.0], [1.0], [1.5]])
    pairs = Pairs(embeddings, torch.tensor([0, 0, 1, 1]), normalized=False)
    assert triplets_of(mine(EasyPositive(), pairs)) == [(2, 3, 0), (3, 2, 0)]


def test_a_duplicate_of_the_anchor_is_its_easiest_positive():
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.9, 0.0], [0.0, 1.0]])
    pairs = Pairs(embeddings, torch.tensor([0, 0, 0, 1]), normalized=False)
    assert triplets_of(mine(EasyPositive(), pairs))[:2] == [(0, 1, 3), (1, 0, 3)]
