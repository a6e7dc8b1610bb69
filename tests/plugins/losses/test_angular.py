"""Angular loss against plain loops, and the geometry that it stands for."""

import math

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_batch,
    check_on_pairs,
    mean,
    pairs_of,
    unit,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.angular import Angular


def by_loops(loss: Angular, batch: Batch, selection: Selection) -> Tensor:
    """Derived anew: the constant is what a triangle of unit vectors leaves beside f."""
    squared = math.tan(math.radians(loss.alpha)) ** 2
    constant = 2 - 6 * squared
    references = batch.pairs.references
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        for p in positives:
            middle = (batch.anchor(a) + references[p]) / 2
            total = torch.ones((), dtype=torch.float64)
            for n in negatives:
                to_middle = (references[n] - middle).square().sum()
                total = total + torch.exp(batch.d(a, p) ** 2 - 4 * squared * to_middle - constant)
            terms.append(torch.log(total))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("alpha", [45.0, 36.0, 60.0])
def test_agrees_with_plain_loops(alpha, chosen, references):
    check_on_pairs(Angular(alpha=alpha), by_loops, chosen, references)


def test_one_large_class_among_small_ones_agrees_with_plain_loops():
    """Far more positive pairs than anchors: several rounds."""
    raw, embeddings = unit(10, 5, seed=6)
    batch = Batch(Pairs(embeddings, torch.tensor([0] * 7 + [1, 1, 2])), [raw])
    check_on_batch(Angular(), by_loops, batch, all_pairs(batch.pairs))


def test_a_wider_angle_is_more_lenient_with_a_far_negative():
    """The larger the angle that is allowed, the less a distant negative matters."""
    directions = torch.deg2rad(torch.tensor([0.0, 40.0, 180.0]))
    vectors = torch.stack([directions.cos(), directions.sin()], dim=1)
    pairs = Pairs(vectors, torch.tensor([0, 0, 1]))
    values = [Angular(alpha=alpha)(pairs, all_pairs(pairs)).item() for alpha in (10, 30, 50)]
    assert values == sorted(values, reverse=True)
