"""FastAP against plain loops, and at the ends of its histogram."""

import pytest
import torch
from support.loss_loops import (
    LABELS,
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    make_batch,
    mean,
    pairs_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.fastap import FastAP


def by_loops(loss: FastAP, batch: Batch, selection: Selection) -> Tensor:
    width = 4 / loss.bins
    centres = [z * width for z in range(loss.bins + 1)]

    def histogram(a: int, columns: list[int]) -> list[Tensor]:
        zero = torch.zeros((), dtype=torch.float64)
        shares = [[1 - abs(batch.d(a, j) ** 2 - z) / width for j in columns] for z in centres]
        return [sum((share for share in row if share > 0), zero) for row in shares]

    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        if not positives:
            continue
        own, other = histogram(a, positives), histogram(a, negatives)
        precision = [
            own[z] * sum(own[: z + 1]) / (sum(own[: z + 1]) + sum(other[: z + 1]))
            for z in range(loss.bins + 1)
            if own[z] > 0
        ]
        terms.append(1 - sum(precision) / len(positives))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("bins", [10, 37])
def test_agrees_with_plain_loops(bins, chosen, references):
    check_on_pairs(FastAP(bins=bins), by_loops, chosen, references)


def backward_of_the_authors(anchors: Tensor, labels: Tensor, bins: int) -> Tensor:
    """What their backward pass returns: slopes of the sum of all AP, without the mean's 1 / N.

    With the slopes G by squared distance, and these being 2 - 2 x_i x_j, they return (G + G') X.
    """
    squared = (2 - 2 * anchors @ anchors.T).detach().requires_grad_()
    centres = torch.linspace(0, 4, bins + 1, dtype=torch.float64)
    shares = (1 - (squared[..., None] - centres).abs() * bins / 4).relu()
    same = labels[:, None] == labels
    others = same ^ torch.eye(len(labels), dtype=torch.bool)
    positive, negative = (shares * others[..., None]).sum(1), (shares * ~same[..., None]).sum(1)
    upto = (positive + negative).cumsum(1)
    terms = positive * positive.cumsum(1) / upto.where(upto > 0, 1)
    precision = terms.sum(1) / others.sum(1).clamp_min(1)
    (slopes,) = torch.autograd.grad(precision.sum(), squared)
    return (slopes + slopes.T) @ anchors


def test_the_authors_backward_is_half_the_number_of_anchors_times_our_gradient():
    """They leave out the derivative of their mean, and of squared distances take half."""
    anchors = make_batch("batch").pairs.anchors.detach().requires_grad_()
    pairs = Pairs(anchors, LABELS)
    (ours,) = torch.autograd.grad(FastAP()(pairs, all_pairs(pairs)), anchors)
    with_a_positive = pairs.positive.any(1).sum()
    assert with_a_positive < len(LABELS)
    theirs = backward_of_the_authors(anchors, LABELS, bins=10)
    torch.testing.assert_close(theirs, ours * with_a_positive / 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bins", [2, 3, 10, 17, 200])
def test_distances_of_exactly_0_and_2_have_their_bins(bins):
    """Duplicates of the anchor first, its opposites last: a perfect ranking."""
    axis = torch.tensor([[1.0, 0.0]])
    embeddings = torch.cat([axis, axis, axis, -axis, -axis]).requires_grad_()
    pairs = Pairs(embeddings, torch.tensor([0, 0, 0, 1, 1]))
    value = FastAP(bins=bins)(pairs, all_pairs(pairs))
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(embeddings.grad).all()


def test_items_in_one_bin_are_tied():
    embeddings = torch.ones(6, 1)
    pairs = Pairs(embeddings, torch.tensor([0, 0, 0, 1, 1, 1]))
    value = FastAP()(pairs, all_pairs(pairs))
    assert value.item() == pytest.approx(1 - 2 / 5)
