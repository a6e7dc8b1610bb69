"""Draws of the uniform histogram: what is in a bin, how many of it, with which probabilities."""

from collections import Counter

import pytest
import torch
from pytorch_metric_learning import miners as peer
from scipy.stats import chisquare
from support.miner_loops import (
    Loops,
    batch_of_itself,
    every_batch,
    every_seed,
    mine,
    on_sphere,
    pairs_of,
    peer_arguments,
)

from dmlbench import Pairs
from dmlbench_miners.uniform_histogram import UniformHistogram


def bins_of(
    distance: list[list[float]], partners: list[list[int]], num_bins: int
) -> dict[int, set[tuple[int, int]]]:
    """Part all pairs of one kind into bins of equal width."""
    found = {(a, j): distance[a][j] for a, others in enumerate(partners) for j in others}
    low, high = min(found.values()), max(found.values())
    bins: dict[int, set[tuple[int, int]]] = {}
    for pair, value in found.items():
        place = min(int((value - low) / (high - low) * num_bins), num_bins - 1)
        bins.setdefault(place, set()).add(pair)
    return bins


def in_double(pairs: Pairs) -> Pairs:
    """Return the same in float64, so that rounding moves no pair into another bin."""
    places = pairs.labels, pairs.references.double(), pairs.reference_labels, pairs.self_index
    return Pairs(pairs.anchors.double(), *places)


@every_batch
@every_seed
@pytest.mark.parametrize(("num_bins", "per_bin"), [(1, 3), (4, 2), (100, 1), (5, 1000)])
def test_each_bin_gives_as_many_pairs_as_asked_for_or_all_it_has(
    make_pairs, seed, num_bins, per_bin
):
    pairs = in_double(make_pairs(seed))
    loops = Loops(pairs)
    miner = UniformHistogram(num_bins=num_bins, pos_per_bin=per_bin, neg_per_bin=per_bin + 1)
    chosen = mine(miner, pairs)
    for mask, partners, wanted in (
        (chosen.positive, loops.positives, per_bin),
        (chosen.negative, loops.negatives, per_bin + 1),
    ):
        bins = bins_of(loops.distance, partners, num_bins)
        drawn = pairs_of(mask)
        assert sum(len(drawn & held) for held in bins.values()) == len(drawn)
        for held in bins.values():
            # A value at the very edge may fall to either side.
            assert abs(len(drawn & held) - min(wanted, len(held))) <= (num_bins > 1)
        assert abs(len(drawn) - sum(min(wanted, len(held)) for held in bins.values())) <= 1


def test_all_pairs_of_a_bin_are_equally_likely():
    pairs = Pairs(on_sphere(12, 6, 0), torch.arange(12) % 3)
    miner = UniformHistogram(num_bins=3, pos_per_bin=2, neg_per_bin=5)
    positive, negative = Counter(), Counter()
    torch.manual_seed(0)
    for _ in range(1_500):
        chosen = miner.select(pairs)
        positive.update(pairs_of(chosen.positive))
        negative.update(pairs_of(chosen.negative))
    loops = Loops(in_double(pairs))
    for counts, partners, drawn in (
        (positive, loops.positives, 2),
        (negative, loops.negatives, 5),
    ):
        for held in bins_of(loops.distance, partners, 3).values():
            observed = [counts[pair] for pair in held]
            assert sum(observed) == 1_500 * min(drawn, len(held))
            if drawn < len(held):
                # Draws of one batch exclude one another: the statistic is below chi-square.
                assert chisquare(observed).pvalue > 0.01


def test_near_negatives_are_as_many_as_common_ones():
    pairs = Pairs(on_sphere(128, 64, 0), torch.arange(128) // 4)
    chosen = mine(UniformHistogram(num_bins=10), pairs)
    drawn, all_negatives = pairs.distance[chosen.negative], pairs.distance[pairs.negative]
    near = all_negatives.min() + 0.3 * (all_negatives.max() - all_negatives.min())
    assert (all_negatives < near).float().mean() < 0.05
    assert (drawn < near).float().mean() > 0.2


@every_seed
def test_bins_that_hold_few_pairs_give_them_all_as_with_pytorch_metric_learning(seed):
    pairs = batch_of_itself(seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        found = peer.UniformHistogramMiner(num_bins=5, pos_per_bin=5_000, neg_per_bin=5_000)(
            *peer_arguments(pairs)
        )
    a1, p, a2, n = (index.tolist() for index in found)
    chosen = mine(UniformHistogram(num_bins=5, pos_per_bin=1000, neg_per_bin=1000), pairs)
    assert pairs_of(chosen.positive) == set(zip(a1, p, strict=True))
    assert pairs_of(chosen.negative) == set(zip(a2, n, strict=True))


def test_pairs_of_one_distance_fill_one_bin():
    pairs = Pairs(torch.eye(6), torch.arange(6) % 2)
    chosen = mine(UniformHistogram(pos_per_bin=2, neg_per_bin=7), pairs)
    assert chosen.positive.sum() == 2
    assert chosen.negative.sum() == 7
