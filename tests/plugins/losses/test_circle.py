"""Circle loss against plain loops and its peer, and at its sharpest."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    REFERENCES,
    SELECTIONS,
    Batch,
    assert_same,
    check_on_pairs,
    mean,
    pairs_of,
    unit,
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection
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


def everything(pairs: Pairs) -> PairMask:
    return PairMask(pairs.positive, pairs.negative)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize(("margin", "gamma"), [(0.4, 80.0), (0.25, 20.0)])
def test_agrees_with_plain_loops(margin, gamma, chosen, references):
    check_on_pairs(Circle(margin=margin, gamma=gamma), by_loops, chosen, references)


def test_agrees_with_pytorch_metric_learning():
    labels = torch.cat([torch.arange(40) % 8, torch.tensor([8, 9])])
    raw, embeddings = unit(42, 16, seed=8)
    pairs = Pairs(embeddings, labels)
    actual = Circle()(pairs, everything(pairs))
    assert_same(actual, peer.CircleLoss()(embeddings, labels), [raw], tolerance=1e-7)


def test_against_a_memory_it_agrees_with_pytorch_metric_learning():
    raw, embeddings = unit(16, 16, seed=8)
    memory_raw, memory = unit(40, 16, seed=9)
    labels, memory_labels = torch.arange(16) % 4, torch.arange(40) % 5
    pairs = Pairs(embeddings, labels, memory, memory_labels, torch.full((16,), -1))
    expected = peer.CircleLoss()(embeddings, labels, ref_emb=memory, ref_labels=memory_labels)
    actual = Circle()(pairs, everything(pairs))
    assert_same(actual, expected, [raw, memory_raw], tolerance=1e-7)


def test_what_is_further_from_its_optimum_is_moved_more():
    """One positive at 60 degrees, two negatives; the gradient's size follows the weights."""
    cosines = torch.tensor([[0.5, 0.8, -0.5]]).requires_grad_()
    pairs = Pairs(torch.eye(3)[:1], torch.tensor([0]), torch.eye(3), torch.tensor([0, 1, 2]),
                  torch.tensor([-1]))  # fmt: skip
    pairs.similarity = cosines
    Circle(margin=0.4, gamma=1.0)(pairs, everything(pairs)).backward()
    pull, push, none = cosines.grad[0].tolist()
    assert pull < 0 < push
    assert none == 0  # beyond -margin, where the weight is 0


def test_is_finite_at_its_sharpest_on_the_worst_of_embeddings():
    worst = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [-1, 0]]).requires_grad_()
    pairs = Pairs(worst, torch.tensor([0, 0, 1, 1]))
    value = Circle(margin=1.0, gamma=512.0)(pairs, everything(pairs))
    value.backward()
    assert value > 1000
    assert torch.isfinite(worst.grad).all()


def test_single_precision_is_enough():
    labels = torch.arange(96) % 12
    raw, _ = unit(96, 32, seed=7)
    values = []
    for dtype in (torch.float32, torch.float64):
        pairs = Pairs(torch.nn.functional.normalize(raw.detach().to(dtype)), labels)
        values.append(Circle()(pairs, everything(pairs)).item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)
