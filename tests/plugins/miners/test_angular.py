"""Angular mining against plain loops."""

import math

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
from dmlbench_miners.angular import Angular


def angle_at_negative(anchor: list[float], positive: list[float], negative: list[float]) -> float:
    centre = [(x + y) / 2 for x, y in zip(anchor, positive, strict=True)]
    return math.degrees(math.atan(math.dist(anchor, positive) / (2 * math.dist(negative, centre))))


@every_batch
@every_seed
@pytest.mark.parametrize("angle", [20.0, 30.0, 45.0])
@pytest.mark.parametrize("length", [1.0, 3.0])
def test_it_takes_every_triplet_with_a_wide_angle(make_pairs, seed, angle, length):
    of = make_pairs(seed)
    pairs = Pairs(
        length * of.anchors,
        of.labels,
        length * of.references,
        of.reference_labels,
        of.self_index,
        normalized=length == 1.0,
    )
    loops = Loops(pairs)
    anchors, references = pairs.anchors.tolist(), pairs.references.tolist()
    expected = [
        (a, p, n)
        for a in loops.anchors
        for p in loops.positives[a]
        for n in loops.negatives[a]
        if angle_at_negative(anchors[a], references[p], references[n]) > angle
    ]
    assert triplets_of(mine(Angular(angle=angle), pairs)) == expected
    assert expected or angle > 30


def test_a_negative_in_the_middle_of_anchor_and_positive_sees_them_under_the_widest_angle():
    pairs = Pairs(
        torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0], [9.0, 9.0]]),
        torch.tensor([0, 0, 1, 2]),
        normalized=False,
    )
    assert triplets_of(mine(Angular(angle=60.0), pairs)) == [(0, 1, 2), (1, 0, 2)]


def test_a_positive_at_the_same_place_makes_no_angle():
    pairs = Pairs(
        torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]),
        torch.tensor([0, 0, 1]),
        normalized=False,
    )
    assert triplets_of(mine(Angular(angle=5.0), pairs)) == []
