"""Soft-hard mining against the sets it draws from, and the probabilities within them."""

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare
from support.miner_loops import Loops, every_batch, every_seed, mine, triplets_of

from dmlbench import Pairs
from dmlbench_miners.soft_hard import SoftHard


def candidates(loops: Loops, a: int) -> tuple[list[int], list[int]]:
    """List the positives and the negatives of an anchor that may be drawn."""
    distance, positives, negatives = loops.distance[a], loops.positives[a], loops.negatives[a]
    nearest = min(distance[n] for n in negatives)
    furthest = max(distance[p] for p in positives)
    hard_positives = [p for p in positives if distance[p] > nearest]
    hard_negatives = [n for n in negatives if distance[n] < furthest]
    assert bool(hard_positives) == bool(hard_negatives)
    return hard_positives or positives, hard_negatives or negatives


@every_batch
@every_seed
def test_each_anchor_gets_one_violating_positive_and_negative(make_pairs, seed):
    pairs = make_pairs(seed)
    loops = Loops(pairs)
    triplets = triplets_of(mine(SoftHard(), pairs))
    assert [a for a, _, _ in triplets] == [
        a for a in loops.anchors if loops.positives[a] and loops.negatives[a]
    ]
    for a, p, n in triplets:
        positives, negatives = candidates(loops, a)
        assert p in positives
        assert n in negatives


ON_A_LINE = [0.0, 0.3, 1.0, 1.4, 2.0, 0.7, 0.9, 1.2, 1.7, 2.5, 2.9]
CLASSES = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def draws(positions: list[float], classes: list[int], count: int) -> tuple[Counter, Counter]:
    """Draw for many anchors, all at the first position; count positives and negatives."""
    references = torch.tensor(positions)[:, None]
    labels = torch.tensor(classes)
    anchors = references[:1].expand(count, 1)
    pairs = Pairs(
        anchors,
        labels[:1].expand(count),
        references,
        labels,
        torch.zeros(count, dtype=torch.int64),
        normalized=False,
    )
    triplets = triplets_of(mine(SoftHard(), pairs))
    assert len(triplets) == count
    return Counter(p for _, p, _ in triplets), Counter(n for _, _, n in triplets)


def test_all_violating_positives_and_negatives_are_equally_likely():
    # The nearest negative is at 0.7, the furthest positive at 2.0.
    positives, negatives = draws(ON_A_LINE, CLASSES, 6_000)
    assert sorted(positives) == [2, 3, 4]
    assert sorted(negatives) == [5, 6, 7, 8]
    assert chisquare(list(positives.values())).pvalue > 0.01
    assert chisquare(list(negatives.values())).pvalue > 0.01


def test_without_a_violation_all_positives_and_negatives_are_equally_likely():
    positives, negatives = draws([0.0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.7], [0, 0, 0, 1, 1, 1, 1], 6_000)
    assert sorted(positives) == [1, 2]
    assert sorted(negatives) == [3, 4, 5, 6]
    assert chisquare(list(positives.values())).pvalue > 0.01
    assert chisquare(list(negatives.values())).pvalue > 0.01


def test_positive_and_negative_are_drawn_independently():
    references = torch.tensor(ON_A_LINE)[:, None]
    labels = torch.tensor(CLASSES)
    nowhere = torch.zeros(6_000, dtype=torch.int64)
    anchors = references[:1].expand(6_000, 1)
    pairs = Pairs(anchors, nowhere, references, labels, nowhere, normalized=False)
    together = Counter((p, n) for _, p, n in triplets_of(mine(SoftHard(), pairs)))
    assert len(together) == 12
    assert chisquare(list(together.values())).pvalue > 0.01


@pytest.mark.parametrize("alone", [[0, 1, 2], [0, 0, 0]])
def test_anchors_without_a_partner_are_left_out(alone):
    pairs = Pairs(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor(alone), normalized=False)
    assert triplets_of(mine(SoftHard(), pairs)) == []
