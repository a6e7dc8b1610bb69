"""Pair margins against plain loops and against a peer."""

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
    pairs_of,
    peer_arguments,
)

from dmlbench_losses.contrastive import Contrastive
from dmlbench_miners.all_pairs import AllPairs
from dmlbench_miners.pair_margin import PairMargin

margins = pytest.mark.parametrize("margins", [(0.2, 0.8), (1.2, 1.1), (1.0, 1.5)])


@every_batch
@every_seed
@margins
def test_it_takes_positives_beyond_one_margin_and_negatives_within_the_other(
    make_pairs, seed, margins
):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    chosen = mine(PairMargin(pos_margin=margins[0], neg_margin=margins[1]), pairs)
    assert pairs_of(chosen.positive) == {
        (a, p)
        for a in loops.anchors
        for p in loops.positives[a]
        if loops.distance[a][p] > margins[0]
    }
    assert pairs_of(chosen.negative) == {
        (a, n)
        for a in loops.anchors
        for n in loops.negatives[a]
        if loops.distance[a][n] < margins[1]
    }


@pytest.mark.parametrize("make_pairs", [batch_of_itself, batch_with_singletons, memory_only])
@every_seed
@margins
def test_pairs_agree_with_pytorch_metric_learning(make_pairs, seed, margins):
    pairs = make_pairs(seed)
    miner = peer.PairMarginMiner(pos_margin=margins[0], neg_margin=margins[1])
    with torch.no_grad():
        a1, p, a2, n = miner(*peer_arguments(pairs))
    chosen = mine(PairMargin(pos_margin=margins[0], neg_margin=margins[1]), pairs)
    assert pairs_of(chosen.positive) == set(zip(a1.tolist(), p.tolist(), strict=True))
    assert pairs_of(chosen.negative) == set(zip(a2.tolist(), n.tolist(), strict=True))


@every_batch
def test_a_contrastive_loss_of_the_same_margins_loses_nothing(make_pairs):
    pairs = make_pairs(0)
    loss = Contrastive(pos_margin=0.5, neg_margin=1.2)
    chosen = mine(PairMargin(pos_margin=0.5, neg_margin=1.2), pairs)
    assert loss(pairs, chosen) == loss(pairs, mine(AllPairs(), pairs)) > 0
