"""Angular loss against plain loops, and the geometry that it stands for."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as peer
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


def test_pytorch_metric_learning_leaves_the_length_of_the_negatives():
    raw, embeddings = unit(9, 4, seed=2)
    labels = torch.arange(9) % 3
    squared = math.tan(math.radians(45)) ** 2

    def value(negatives: Tensor) -> Tensor:
        """Return the loss of all pairs by its formula, for these negatives."""
        terms = []
        for a in range(9):
            for p in range(9):
                if p != a and labels[p] == labels[a]:
                    push = negatives[labels != labels[a]] @ (embeddings[a] + embeddings[p])
                    pull = embeddings[a] @ embeddings[p]
                    exponents = 4 * squared * push - 2 * (1 + squared) * pull
                    terms.append(torch.log1p(exponents.exp().sum()))
        return mean(terms)

    pairs = Pairs(embeddings, labels)
    torch.testing.assert_close(Angular(alpha=45)(pairs, all_pairs(pairs)), value(embeddings))
    theirs = peer.AngularLoss(alpha=45)(raw, labels)
    torch.testing.assert_close(theirs, value(raw))
    assert abs(theirs - value(embeddings)) > 0.1
