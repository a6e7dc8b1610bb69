"""Miners against plain loops, against the probabilities of their papers, and against a peer."""

import inspect
from collections import Counter

import numpy as np
import pytest
import torch
from pytorch_metric_learning import miners as peer
from scipy.stats import chisquare
from support.miner_loops import (
    EMPTY_BATCHES,
    Loops,
    at_distances,
    batch_of_itself,
    batch_with_memory,
    batch_with_singletons,
    every_batch,
    every_seed,
    frequencies,
    memory_only,
    mine,
    on_sphere,
    pairs_of,
    peer_arguments,
    triplets_of,
)

from dmlbench import ConfigError, PairMask, Pairs, as_pair_mask
from dmlbench_miners.all_pairs import AllPairs
from dmlbench_miners.batch_hard import BatchHard
from dmlbench_miners.distance_weighted import DistanceWeighted
from dmlbench_miners.multi_similarity import MultiSimilarity
from dmlbench_miners.random_triplets import RandomTriplets
from dmlbench_miners.semi_hard import SemiHard

MINERS = [AllPairs, BatchHard, DistanceWeighted, MultiSimilarity, RandomTriplets, SemiHard]
TRIPLET_MINERS = [miner for miner in MINERS if miner.makes == "triplets"]
RANDOM_MINERS = [DistanceWeighted, RandomTriplets]


@every_batch
@every_seed
def test_all_pairs_are_all_pairs(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    chosen = mine(AllPairs(), pairs)
    assert pairs_of(chosen.positive) == {(a, p) for a in loops.anchors for p in loops.positives[a]}
    assert pairs_of(chosen.negative) == {(a, n) for a in loops.anchors for n in loops.negatives[a]}


@every_batch
@every_seed
def test_batch_hard_takes_the_furthest_positive_and_the_nearest_negative(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    expected = [
        (
            a,
            max(loops.positives[a], key=loops.distance[a].__getitem__),
            min(loops.negatives[a], key=loops.distance[a].__getitem__),
        )
        for a in loops.anchors
        if loops.positives[a] and loops.negatives[a]
    ]
    assert expected
    assert triplets_of(mine(BatchHard(), pairs)) == expected


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


@every_batch
@every_seed
@pytest.mark.parametrize("miner", RANDOM_MINERS)
def test_random_miners_give_each_positive_pair_one_negative_of_its_anchor(miner, make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    triplets = triplets_of(mine(miner(), pairs))
    assert [triplet[:2] for triplet in triplets] == loops.positive_pairs_with_a_negative()
    assert all(n in loops.negatives[a] for a, _, n in triplets)


def density(distance: float, dimension: int) -> float:
    return distance ** (dimension - 2) * (1 - distance**2 / 4) ** ((dimension - 3) / 2)


def test_random_triplets_draw_all_negatives_equally_often():
    pairs = at_distances([0.1, 0.4, 0.8, 1.1, 1.5, 1.8, 1.9], dimension=3, positives=7_000)
    observed = frequencies(RandomTriplets(), pairs, 7)
    assert sum(observed) == 7_000
    assert chisquare(observed).pvalue > 0.01


@pytest.mark.parametrize("dimension", [2, 3, 4, 9])
@pytest.mark.parametrize(("lower", "upper"), [(0.5, 1.4), (0.8, 1.7)])
def test_distance_weighted_draws_by_the_inverse_density(dimension, lower, upper):
    distances = [0.3, 0.45, 0.7, 0.95, 1.2, 1.35, 1.45, 1.6, 1.75]
    weights = [1 / density(max(d, lower), dimension) if d < upper else 0 for d in distances]
    draws = 20_000
    miner = DistanceWeighted(lower_cutoff=lower, upper_cutoff=upper)
    pairs = at_distances(distances, dimension, positives=draws)
    observed = np.array(frequencies(miner, pairs, len(distances)))
    expected = draws * np.array(weights) / sum(weights)
    assert observed.sum() == draws
    assert not observed[expected == 0].any()
    assert chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 0.01


def test_distance_weighted_draws_independently_for_each_anchor():
    near = at_distances([0.6, 1.0, 1.2], dimension=5, positives=4_000)
    far = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]])  # at sqrt(2) from all of the negatives
    pairs = Pairs(
        torch.cat((near.anchors, far)),
        torch.tensor([0, 0]),
        near.references,
        near.reference_labels,
        torch.tensor([-1, -1]),
    )
    triplets = triplets_of(mine(DistanceWeighted(), pairs))
    weights = np.array([1 / density(d, 5) for d in (0.6, 1.0, 1.2)])
    counts = [Counter(n for a, _, n in triplets if a == anchor) for anchor in (0, 1)]
    observed = [[count[n] for n in range(3)] for count in counts]
    assert chisquare(observed[0], 4_000 * weights / weights.sum()).pvalue > 0.01
    assert chisquare(observed[1]).pvalue > 0.01


def test_negatives_beyond_the_upper_cutoff_are_equally_likely_when_there_are_no_others():
    pairs = at_distances([1.4001, 1.6, 1.9, 2.0], dimension=64, positives=4_000)
    observed = frequencies(DistanceWeighted(), pairs, 4)
    assert sum(observed) == 4_000
    assert chisquare(observed).pvalue > 0.01


@pytest.mark.parametrize("dimension", [128, 512, 2048])
def test_distance_weighting_stays_finite_in_high_dimensions(dimension):
    pairs = at_distances([0.0, 0.2, 0.9, 1.3, 1.39, 1.5], dimension, positives=500)
    observed = frequencies(DistanceWeighted(), pairs, 6)
    # 0 and 0.2 are both below the lower cut-off; 0.9 is rarer by at least (0.9 / 0.5)^126.
    assert observed[2:] == [0, 0, 0, 0]
    assert chisquare(observed[:2]).pvalue > 0.01


@pytest.mark.parametrize("miner", RANDOM_MINERS)
def test_the_same_seed_draws_the_same_triplets_and_another_seed_others(miner):
    pairs = batch_of_itself(3)
    first, again = (triplets_of(mine(miner(), pairs)) for _ in range(2))
    assert first == again
    torch.manual_seed(1)
    assert triplets_of(miner().select(pairs)) != first


@pytest.mark.parametrize("miner", [miner for miner in MINERS if miner not in RANDOM_MINERS])
def test_miners_without_chance_leave_the_generator_alone(miner):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    miner().select(batch_of_itself(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("make_pairs", EMPTY_BATCHES)
@pytest.mark.parametrize("miner", TRIPLET_MINERS)
def test_no_triplets_come_from_a_batch_without_positives_or_without_negatives(miner, make_pairs):
    assert triplets_of(mine(miner(), make_pairs(0))) == []


@pytest.mark.parametrize("make_pairs", EMPTY_BATCHES)
def test_multi_similarity_keeps_nothing_where_there_is_nothing_to_compare(make_pairs):
    chosen = mine(MultiSimilarity(), make_pairs(0))
    assert not chosen.positive.any()
    assert not chosen.negative.any()


@pytest.mark.parametrize("miner", MINERS)
def test_identical_embeddings_give_a_valid_selection(miner):
    labels = torch.arange(4).repeat_interleave(3)
    pairs = Pairs(on_sphere(1, 16, 0).repeat(12, 1), labels)
    chosen = as_pair_mask(mine(miner(), pairs), pairs)
    assert not (chosen.positive & ~pairs.positive).any()
    assert not (chosen.negative & ~pairs.negative).any()
    if miner is not SemiHard:  # no negative lies behind a positive, but for rounding
        assert chosen.positive.any(1).all()
        assert chosen.negative.any(1).all()


@pytest.mark.parametrize("miner", MINERS)
def test_mining_changes_neither_similarities_nor_embeddings(miner):
    pairs = batch_with_memory(0)
    similarity, distance = pairs.similarity.clone(), pairs.distance.clone()
    anchors = pairs.anchors.clone()
    mine(miner(), pairs)
    assert torch.equal(pairs.similarity, similarity)
    assert torch.equal(pairs.distance, distance)
    assert torch.equal(pairs.anchors, anchors)


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


def test_distance_weighting_refuses_embeddings_off_the_sphere():
    pairs = Pairs(torch.randn(4, 3), torch.tensor([0, 0, 1, 1]), normalized=False)
    with pytest.raises(ConfigError, match="length 1"):
        DistanceWeighted().select(pairs)


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 1.4), (1.4, 1.4), (0.5, 2.0)])
def test_distance_weighting_refuses_cutoffs_where_the_density_is_not_defined(lower, upper):
    with pytest.raises(ConfigError, match="0 < lower_cutoff < upper_cutoff < 2"):
        DistanceWeighted(lower_cutoff=lower, upper_cutoff=upper)


@pytest.mark.parametrize("miner", MINERS)
def test_defaults_lie_within_their_search_spaces(miner):
    for parameter in inspect.signature(miner).parameters.values():
        (space,) = parameter.annotation.__metadata__
        assert parameter.default in space


PEERS = {
    BatchHard: peer.BatchHardMiner(),
    SemiHard: peer.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
}


@pytest.mark.parametrize("make_pairs", [batch_of_itself, batch_with_singletons, memory_only])
@pytest.mark.parametrize("miner", PEERS)
@every_seed
def test_triplets_agree_with_pytorch_metric_learning(miner, make_pairs, seed):
    pairs = make_pairs(seed)
    with torch.no_grad():
        theirs = PEERS[miner](*peer_arguments(pairs))
    triplets = {tuple(triplet) for triplet in torch.stack(theirs).T.tolist()}
    assert set(triplets_of(mine(miner(), pairs))) == triplets


@pytest.mark.parametrize("make_pairs", [batch_of_itself, batch_with_singletons, memory_only])
@every_seed
def test_multi_similarity_agrees_with_pytorch_metric_learning(make_pairs, seed):
    pairs = make_pairs(seed)
    with torch.no_grad():
        a1, p, a2, n = peer.MultiSimilarityMiner(epsilon=0.1)(*peer_arguments(pairs))
    chosen = mine(MultiSimilarity(), pairs)
    assert pairs_of(chosen.positive) == set(zip(a1.tolist(), p.tolist(), strict=True))
    assert pairs_of(chosen.negative) == set(zip(a2.tolist(), n.tolist(), strict=True))
