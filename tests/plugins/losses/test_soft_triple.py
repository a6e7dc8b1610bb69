"""SoftTriple against its formula in plain loops, and CosFace where they are the same."""

import pytest
import torch
from support.loss_loops import (
    LABELS,
    SIZES,
    Batch,
    C,
    check_on_labels,
    cosine,
    make_batch,
    softmax_terms,
)
from torch import Tensor

from dmlbench import Pairs
from dmlbench_losses import soft_triple
from dmlbench_losses.cosface import CosFace
from dmlbench_losses.soft_triple import SoftTriple


def by_loops(loss: SoftTriple, batch: Batch, selection: None) -> Tensor:
    K = len(loss.centers)

    def logit(i: int, c: int) -> Tensor:
        similarities = [cosine(batch.anchor(i), loss.centers[k, c]) for k in range(K)]
        shares = [torch.exp(s / loss.gamma) for s in similarities]
        soft = sum(q * s for q, s in zip(shares, similarities, strict=True)) / sum(shares)
        return loss.scale * (soft - loss.margin * int(c == LABELS[i]))

    distances = [
        (2 + 1e-5 - 2 * cosine(loss.centers[k, c], loss.centers[other, c])).sqrt()
        for c in range(C)
        for k in range(K)
        for other in range(k + 1, K)
    ]
    merging = sum(distances) / (C * K * (K - 1)) if K > 1 else 0
    return softmax_terms(batch, logit) + loss.tau * merging


@pytest.mark.parametrize(
    "settings",
    [
        {"centers": 4},
        {"centers": 1},
        {"centers": 3, "tau": 0.0},
        {"centers": 3, "gamma": 40.0, "scale": 70.0, "margin": 0.4, "tau": 0.4},
        {"centers": 2, "gamma": 0.02},
    ],
)
def test_value_and_gradient_agree_with_plain_loops(settings):
    check_on_labels(lambda **sizes: SoftTriple(**sizes, **settings), by_loops)


def test_products_that_do_not_fit_are_made_some_classes_at_a_time(monkeypatch):
    monkeypatch.setattr(soft_triple, "_PRODUCTS", 1)
    check_on_labels(lambda **sizes: SoftTriple(**sizes, centers=4), by_loops)


def test_with_one_center_it_is_cosface():
    ours = SoftTriple(**SIZES, centers=1, scale=30.0, margin=0.2).double()
    plain = CosFace(**SIZES, scale=30.0, margin=0.2).double()
    plain.load_state_dict({"weight": ours.centers.detach()[0]})
    pairs = make_batch("batch").pairs
    assert ours(pairs, None).item() == pytest.approx(plain(pairs, None).item(), rel=1e-12)


def test_the_merging_term_brings_the_centers_of_a_class_together():
    torch.manual_seed(3)
    loss = SoftTriple(num_classes=1, embedding_dim=4, centers=3, tau=1.0)
    optimiser = torch.optim.SGD(loss.parameters(), lr=0.1)
    pairs = Pairs(torch.eye(4)[:1], torch.tensor([0]))
    values = []
    for _ in range(60):
        value = loss(pairs, None)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.1 * values[0]


def test_centers_that_have_merged_have_finite_gradients():
    loss = SoftTriple(num_classes=3, embedding_dim=4, centers=5)
    with torch.no_grad():
        loss.centers.copy_(torch.ones(5, 3, 4))
    loss(Pairs(torch.eye(4)[:3], torch.arange(3)), None).backward()
    assert torch.isfinite(loss.centers.grad).all()
