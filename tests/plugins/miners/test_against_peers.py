"""Selections are those of pytorch-metric-learning, where it has the same miner."""

from collections.abc import Callable

import pytest
import torch
from pytorch_metric_learning import miners as peer
from support.miner_loops import (
    batch_of_itself,
    batch_with_singletons,
    every_seed,
    memory_only,
    mine,
    pairs_of,
    peer_arguments,
    triplets_of,
)

from dmlbench import Miner, as_pair_mask
from dmlbench_miners.angular import Angular
from dmlbench_miners.batch_hard import BatchHard
from dmlbench_miners.easy_positive import EasyPositive
from dmlbench_miners.hard_negative import HardNegative
from dmlbench_miners.hard_pairs import HardPairs
from dmlbench_miners.hard_positive import HardPositive
from dmlbench_miners.hard_triplets import HardTriplets
from dmlbench_miners.multi_similarity import MultiSimilarity
from dmlbench_miners.pair_margin import PairMargin
from dmlbench_miners.semi_hard import SemiHard

Places = set[tuple[int, ...]]
Theirs = Callable[..., tuple[torch.Tensor, ...]]

TRIPLETS: dict[str, tuple[Miner, Theirs]] = {
    "angular": (Angular(), peer.AngularMiner(angle=20)),
    "batch-hard": (BatchHard(), peer.BatchHardMiner()),
    "easy-positive": (EasyPositive(), peer.BatchEasyHardMiner()),
    "hard-triplets": (HardTriplets(), peer.TripletMarginMiner(type_of_triplets="hard")),
    "semi-hard": (
        SemiHard(),
        peer.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
    ),
}
PAIRS: dict[str, tuple[Miner, Theirs]] = {
    "hard-negative": (
        HardNegative(),
        peer.BatchEasyHardMiner(pos_strategy="all", neg_strategy="hard"),
    ),
    "hard-positive": (
        HardPositive(),
        peer.BatchEasyHardMiner(pos_strategy="hard", neg_strategy="all"),
    ),
    "multi-similarity": (MultiSimilarity(), peer.MultiSimilarityMiner(epsilon=0.1)),
    **{
        f"pair-margin, {near} and {far}": (
            PairMargin(pos_margin=near, neg_margin=far),
            peer.PairMarginMiner(pos_margin=near, neg_margin=far),
        )
        for near, far in ((0.2, 0.8), (1.2, 1.1), (1.0, 1.5))
    },
}

every_batch = pytest.mark.parametrize(
    "make_pairs", [batch_of_itself, batch_with_singletons, memory_only]
)


def places(*indices: torch.Tensor) -> Places:
    return set(zip(*(index.tolist() for index in indices), strict=True))


@every_batch
@every_seed
@pytest.mark.parametrize("name", TRIPLETS)
def test_triplets_agree_with_pytorch_metric_learning(name, make_pairs, seed):
    ours, theirs = TRIPLETS[name]
    pairs = make_pairs(seed)
    with torch.no_grad():
        anchor, positive, *_, negative = theirs(*peer_arguments(pairs))
    assert set(triplets_of(mine(ours, pairs))) == places(anchor, positive, negative)


@every_batch
@every_seed
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_agree_with_pytorch_metric_learning(name, make_pairs, seed):
    ours, theirs = PAIRS[name]
    pairs = make_pairs(seed)
    with torch.no_grad():
        with_positive, positive, with_negative, negative = theirs(*peer_arguments(pairs))
    chosen = as_pair_mask(mine(ours, pairs), pairs)
    expected = places(with_negative, negative)
    if name == "hard-negative":  # the peer keeps negatives of anchors without a positive, too
        expected = {(a, n) for a, n in expected if a in with_positive.tolist()}
    assert pairs_of(chosen.positive) == places(with_positive, positive)
    assert pairs_of(chosen.negative) == expected


@every_seed
def test_hard_pairs_are_those_of_the_batch_hard_triplets_of_pytorch_metric_learning(seed):
    pairs = batch_of_itself(seed)
    anchor, positive, negative = peer.BatchHardMiner()(*peer_arguments(pairs))
    chosen = mine(HardPairs(), pairs)
    assert pairs_of(chosen.positive) == places(anchor, positive)
    assert pairs_of(chosen.negative) == places(anchor, negative)
