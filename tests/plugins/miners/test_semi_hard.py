"""Semi-hard mining against plain loops, and its distance."""

import pytest
import torch
from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    triplets_of,
)

from dmlbench import Pairs
from dmlbench_miners.batch_hard import BatchHard
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


@pytest.mark.parametrize(
    ("miner", "expected"),
    [
        (BatchHard(), [(0, 1, 2), (1, 0, 2), (2, 3, 0), (3, 2, 0)]),
        (SemiHard(margin=0.5), [(3, 2, 0)]),  # 1.14 < 1.56 < 1.64; squares would be 1.30 and 2.44
    ],
)
def test_hardness_is_by_euclidean_distance_where_lengths_differ(miner, expected):
    embeddings = torch.tensor([[1.0, 0.0], [9.0, 0.0], [1.1, 0.9], [0.0, 1.2]])
    pairs = Pairs(embeddings, torch.tensor([0, 0, 1, 1]), normalized=False)
    assert triplets_of(mine(miner, pairs)) == expected
