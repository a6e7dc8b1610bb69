"""Centroid triplet loss against plain loops, and what a selection means to it."""

import pytest
import torch
import torch.nn.functional as F
from support.loss_loops import (
    LABELS,
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_batch,
    check_on_pairs,
    make_batch,
    make_selection,
    mean,
    of_any_length,
    pairs_of,
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.centroid_triplet import CentroidTriplet


def by_loops(loss: CentroidTriplet, batch: Batch, selection: Selection) -> Tensor:
    labels = batch.pairs.reference_labels.tolist()
    itself = batch.pairs.self_index.tolist()

    def to_centroid(a: int, label: int) -> Tensor:
        members = [j for j, other in enumerate(labels) if other == label and j != itself[a]]
        centroid = sum(batch.pairs.references[j] for j in members) / len(members)
        return (batch.anchor(a) - centroid).square().sum().sqrt()

    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        for other in sorted({labels[n] for n in negatives}):
            if positives:
                own = to_centroid(a, int(LABELS[a]))
                terms.append(own - to_centroid(a, other) + loss.margin)
    return mean([v for v in terms if v > 0])


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("margin", [0.2, 0.0, 1.0])
def test_agrees_with_plain_loops(margin, chosen, references):
    check_on_pairs(CentroidTriplet(margin=margin), by_loops, chosen, references)


def test_agrees_with_plain_loops_on_embeddings_of_any_length():
    batch = of_any_length()
    check_on_batch(CentroidTriplet(), by_loops, batch, make_selection("all", batch.pairs))


def test_with_two_items_a_class_the_own_centroid_is_the_other_item():
    axes = torch.eye(4)
    pairs = Pairs(axes, torch.tensor([0, 0, 1, 1]))
    value = CentroidTriplet(margin=1.0)(pairs, all_pairs(pairs))
    # To the other item sqrt(2), to the middle of the two others sqrt(1 + 1/2).
    assert value.item() == pytest.approx(2**0.5 - 1.5**0.5 + 1)


def test_anchors_without_a_selected_positive_and_classes_without_a_negative_are_left_out():
    pairs = make_batch("batch").pairs
    nothing = torch.zeros_like(pairs.positive)
    positive, negative = nothing.clone(), nothing.clone()
    positive[0, 1] = True
    negative[0, 3] = negative[3, 0] = True

    def to_mean(columns: list[int]) -> Tensor:
        return (pairs.anchors[0] - pairs.anchors[columns].mean(0)).norm()

    expected = to_mean([1, 2]) - to_mean([3, 4]) + 1  # all of a class, chosen or not
    actual = CentroidTriplet(margin=1.0)(pairs, PairMask(positive, negative))
    torch.testing.assert_close(actual, expected)


def test_a_class_that_the_references_lack_has_no_say():
    anchors = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)))
    memory = F.normalize(torch.randn(4, 4, generator=torch.Generator().manual_seed(2)))
    nowhere = torch.full((3,), -1)
    pairs = Pairs(anchors, torch.tensor([0, 7, 9]), memory, torch.tensor([0, 0, 1, 1]), nowhere)
    alone = Pairs(anchors[:1], torch.tensor([0]), memory, torch.tensor([0, 0, 1, 1]), nowhere[:1])
    loss = CentroidTriplet(margin=1.0)
    assert loss(pairs, all_pairs(pairs)) == loss(alone, all_pairs(alone))


def test_an_anchor_on_a_centroid_has_a_finite_gradient():
    raw = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]).requires_grad_()
    pairs = Pairs(raw, torch.tensor([0, 0, 1, 1]))
    CentroidTriplet(margin=1.0)(pairs, all_pairs(pairs)).backward()
    assert torch.isfinite(raw.grad).all()
