"""Pair margins against plain loops."""

import pytest
from support.miner_loops import (
    Loops,
    every_batch,
    every_seed,
    mine,
    pairs_of,
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


@every_batch
def test_a_contrastive_loss_of_the_same_margins_loses_nothing(make_pairs):
    pairs = make_pairs(0)
    loss = Contrastive(pos_margin=0.5, neg_margin=1.2)
    chosen = mine(PairMargin(pos_margin=0.5, neg_margin=1.2), pairs)
    assert loss(pairs, chosen) == loss(pairs, mine(AllPairs(), pairs)) > 0
