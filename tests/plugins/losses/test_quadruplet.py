"""Quadruplet loss against plain loops, and what its fourth item may be."""

import pytest
import torch
from support.loss_loops import (
    LABELS,
    REFERENCES,
    SELECTIONS,
    Batch,
    assert_same,
    check_on_batch,
    check_on_pairs,
    make_batch,
    make_selection,
    mean,
    of_any_length,
    triplets_of,
    unit,
)
from torch import Tensor

from dmlbench import Pairs, Selection, Triplets
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.quadruplet import Quadruplet
from dmlbench_losses.triplet import Triplet


def by_loops(loss: Quadruplet, batch: Batch, selection: Selection) -> Tensor:
    labels = batch.pairs.labels.tolist()
    reference_labels = batch.pairs.reference_labels.tolist()
    first, second = [], []
    for a, p, n in triplets_of(selection):
        taken = (labels[a], reference_labels[n])
        others = [batch.d(k, n) for k, label in enumerate(labels) if label not in taken]
        first.append(batch.d(a, p) - batch.d(a, n) + loss.margin)
        if others:
            second.append(batch.d(a, p) - min(others) + loss.second_margin)
    return mean([v for v in first if v > 0]) + mean([v for v in second if v > 0])


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize(("margin", "second_margin"), [(0.2, 0.1), (0.0, 0.0), (0.1, 0.9)])
def test_agrees_with_plain_loops(margin, second_margin, chosen, references):
    loss = Quadruplet(margin=margin, second_margin=second_margin)
    check_on_pairs(loss, by_loops, chosen, references)


def test_agrees_with_plain_loops_on_embeddings_of_any_length():
    batch = of_any_length()
    check_on_batch(Quadruplet(), by_loops, batch, make_selection("all", batch.pairs))


def test_of_two_classes_it_is_a_triplet_loss():
    """There is no third class for the fourth item."""
    raw, embeddings = unit(8, 5, seed=3)
    pairs = Pairs(embeddings, torch.arange(8) % 2)
    for selection in (all_pairs(pairs), Triplets(*torch.tensor([(0, 2, 1), (3, 5, 0)]).T)):
        assert_same(
            Quadruplet()(pairs, selection), Triplet()(pairs, selection), [raw], tolerance=1e-12
        )


def test_the_fourth_item_is_the_nearest_of_a_third_class():
    """On a line of angles: a and p of class 0, n of 1; 1's own and 0's others are nearer to n."""
    degrees = torch.tensor([0.0, 50.0, 100.0, 101.0, 102.0, 130.0, 170.0])
    labels = torch.tensor([0, 0, 1, 1, 0, 2, 3])
    angles = torch.deg2rad(degrees)
    pairs = Pairs(torch.stack([angles.cos(), angles.sin()], dim=1), labels)
    only = Triplets(*torch.tensor([(0, 1, 2)]).T)

    def apart(i: int, j: int) -> float:
        return 2 * torch.sin((angles[i] - angles[j]).abs() / 2).item()

    first = max(apart(0, 1) - apart(0, 2) + 0.2, 0)
    expected = first + apart(0, 1) - apart(2, 5) + 0.1
    assert Quadruplet()(pairs, only).item() == pytest.approx(expected, abs=1e-6)


def test_the_fourth_item_comes_from_the_batch_and_learns_even_if_all_else_is_a_memory():
    batch = make_batch("memory")
    memory = batch.pairs.references.detach()
    pairs = Pairs(
        batch.pairs.anchors,
        LABELS,
        memory,
        batch.pairs.reference_labels,
        batch.pairs.self_index,
    )
    anchor = 0
    positive = int(pairs.positive[anchor].nonzero()[0])
    negative = int(pairs.negative[anchor].nonzero()[0])
    only = Triplets(*torch.tensor([(anchor, positive, negative)]).T)
    (gradient,) = torch.autograd.grad(Quadruplet(second_margin=1.0)(pairs, only), batch.raw[0])
    assert (gradient.abs().sum(1) > 0).sum() == 2  # the anchor, and the fourth item


def test_many_items_of_few_classes_agree_with_plain_loops():
    raw, embeddings = unit(12, 4, seed=5)
    batch = Batch(Pairs(embeddings, torch.tensor([0] * 6 + [1] * 4 + [2] * 2)), [raw])
    check_on_batch(Quadruplet(), by_loops, batch, all_pairs(batch.pairs))
