"""Circle loss against plain loops, and at its sharpest."""

import pytest
import torch
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    check_on_pairs,
    mean,
    pairs_of,
)
from torch import Tensor

from dmlbench import Pairs, Selection
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.circle import Circle


def by_loops(loss: Circle, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        if not positives or not negatives:
            continue
        pull = push = 0
        for p in positives:
            weight = max(1 + loss.margin - batch.s(a, p).item(), 0)
            pull += torch.exp(-loss.gamma * weight * (batch.s(a, p) - 1 + loss.margin))
        for n in negatives:
            weight = max(batch.s(a, n).item() + loss.margin, 0)
            push += torch.exp(loss.gamma * weight * (batch.s(a, n) - loss.margin))
        terms.append(torch.log(1 + push * pull))
    return mean(terms)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize(("margin", "gamma"), [(0.4, 80.0), (0.25, 20.0)])
def test_agrees_with_plain_loops(margin, gamma, chosen, references):
    check_on_pairs(Circle(margin=margin, gamma=gamma), by_loops, chosen, references)


def test_what_is_further_from_its_optimum_is_moved_more():
    """One positive at 60 degrees, two negatives; the gradient's size follows the weights."""
    cosines = torch.tensor([[0.5, 0.8, -0.5]]).requires_grad_()
    pairs = Pairs(torch.eye(3)[:1], torch.tensor([0]), torch.eye(3), torch.tensor([0, 1, 2]),
                  torch.tensor([-1]))  # fmt: skip
    pairs.similarity = cosines
    Circle(margin=0.4, gamma=1.0)(pairs, all_pairs(pairs)).backward()
    pull, push, none = cosines.grad[0].tolist()
    assert pull < 0 < push
    assert none == 0  # beyond -margin, where the weight is 0


def test_is_finite_at_its_sharpest_on_the_worst_of_embeddings():
    worst = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [-1, 0]]).requires_grad_()
    pairs = Pairs(worst, torch.tensor([0, 0, 1, 1]))
    value = Circle(margin=1.0, gamma=512.0)(pairs, all_pairs(pairs))
    value.backward()
    assert value > 1000
    assert torch.isfinite(worst.grad).all()
