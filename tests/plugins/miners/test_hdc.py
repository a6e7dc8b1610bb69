"""The hardest share of a batch's pairs, against plain loops and against a peer."""

import math

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
    on_sphere,
    pairs_of,
    peer_arguments,
)

from dmlbench import Pairs
from dmlbench_miners.hdc import HDC

shares = pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 1.0])


@every_batch
@every_seed
@shares
def test_it_takes_the_hardest_share_of_either_kind_and_what_is_as_hard(make_pairs, seed, share):
    pairs = make_pairs(seed)
    loops = Loops(pairs)

    def hardest(partners: list[list[int]], sign: int) -> set[tuple[int, int]]:
        found = [(sign * loops.distance[a][j], a, j) for a in loops.anchors for j in partners[a]]
        last = sorted(found)[math.ceil(share * len(found)) - 1][0]
        return {(a, j) for hardness, a, j in found if hardness <= last + 1e-6}

    chosen = mine(HDC(share=share), pairs)
    # The two directions of a pair are equal but for rounding, so that one may be the last alone.
    for mask, partners, sign in (
        (chosen.positive, loops.positives, -1),
        (chosen.negative, loops.negatives, 1),
    ):
        expected = hardest(partners, sign)
        assert expected - pairs_of(mask) <= {(j, i) for i, j in expected}
        assert pairs_of(mask) <= expected
        assert len(pairs_of(mask)) >= math.ceil(share * sum(map(len, partners)))


@pytest.mark.parametrize("make_pairs", [batch_of_itself, batch_with_singletons, memory_only])
@every_seed
@shares
def test_pairs_are_as_hard_as_those_of_pytorch_metric_learning(make_pairs, seed, share):
    pairs = make_pairs(seed)
    with torch.no_grad():
        a1, p, a2, n = peer.HDCMiner(filter_percentage=share)(*peer_arguments(pairs))
    chosen = mine(HDC(share=share), pairs)
    for mask, anchors, others in ((chosen.positive, a1, p), (chosen.negative, a2, n)):
        theirs = pairs.distance.detach()[anchors, others].sort().values
        ours = pairs.distance.detach()[mask].sort().values
        assert len(theirs) <= len(ours) <= len(theirs) + 1
        torch.testing.assert_close(ours[[0, -1]], theirs[[0, -1]])


def test_of_identical_embeddings_all_pairs_are_as_hard():
    pairs = Pairs(torch.eye(8)[:1].repeat(6, 1), torch.arange(6) % 2)
    chosen = mine(HDC(share=0.2), pairs)
    assert torch.equal(chosen.positive, pairs.positive)
    assert torch.equal(chosen.negative, pairs.negative)


def test_pairs_compete_over_the_whole_batch():
    labels = torch.arange(20) // 2
    pairs = Pairs(on_sphere(20, 4, 0), labels)
    chosen = mine(HDC(share=0.2), pairs)
    assert chosen.negative.sum(1).min() < 0.2 * 18 < chosen.negative.sum(1).max()
