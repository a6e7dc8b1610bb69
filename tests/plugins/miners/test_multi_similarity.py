"""Multi-similarity mining against plain loops."""

import pytest
from support.miner_loops import (
    EMPTY_BATCHES,
    Loops,
    every_batch,
    every_seed,
    mine,
    pairs_of,
)

from dmlbench import PairMask
from dmlbench_miners.multi_similarity import MultiSimilarity


@every_batch
@every_seed
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5])
def test_multi_similarity_keeps_pairs_near_the_hardest_of_the_other_kind(make_pairs, seed, epsilon):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    positives, negatives = set(), set()
    for a in loops.anchors:
        if not loops.positives[a] or not loops.negatives[a]:
            continue
        least_positive = min(loops.similarity[a][p] for p in loops.positives[a])
        most_negative = max(loops.similarity[a][n] for n in loops.negatives[a])
        for p in loops.positives[a]:
            if loops.similarity[a][p] - epsilon < most_negative:
                positives.add((a, p))
        for n in loops.negatives[a]:
            if loops.similarity[a][n] + epsilon > least_positive:
                negatives.add((a, n))
    chosen = mine(MultiSimilarity(epsilon=epsilon), pairs)
    assert isinstance(chosen, PairMask)
    assert pairs_of(chosen.positive) == positives
    assert pairs_of(chosen.negative) == negatives


@pytest.mark.parametrize("make_pairs", EMPTY_BATCHES)
def test_multi_similarity_keeps_nothing_where_there_is_nothing_to_compare(make_pairs):
    chosen = mine(MultiSimilarity(), make_pairs(0))
    assert not chosen.positive.any()
    assert not chosen.negative.any()
