"""VICReg against plain loops, and on views that leave nothing to measure."""

import pytest
import torch
from support.loss_loops import Batch, check_on_labels, mean
from torch import Tensor

from dmlbench import Pairs, PluginError
from dmlbench_losses.vicreg import VICReg


def by_loops(loss: VICReg, batch: Batch, selection: None) -> Tensor:
    n, dimensions = len(batch.pairs) // 2, batch.pairs.anchors.shape[1]
    views = [[batch.anchor(i + view * n) for i in range(n)] for view in (0, 1)]
    total = loss.invariance * mean([(a - b).square().mean() for a, b in zip(*views, strict=True)])
    for view in views:
        centre = mean(view)

        def covariance(d: int, e: int, view=view, centre=centre) -> Tensor:
            return sum((z[d] - centre[d]) * (z[e] - centre[e]) for z in view) / (n - 1)

        for d in range(dimensions):
            lacking = 1 - torch.sqrt(covariance(d, d) + 1e-4)
            total = total + loss.variance / 2 * torch.relu(lacking) / dimensions
            for e in range(dimensions):
                if e != d:
                    total = total + loss.covariance * covariance(d, e) ** 2 / dimensions
    return total


def views_of(raw: Tensor) -> Pairs:
    return Pairs(raw, torch.arange(len(raw) // 2).repeat(2), normalized=False)


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (0.5, 3.0, 70.0)])
def test_agrees_with_plain_loops(weights):
    settings = dict(zip(("invariance", "variance", "covariance"), weights, strict=True))
    check_on_labels(lambda **_: VICReg(**settings), by_loops)


def test_labels_do_not_matter():
    raw = torch.randn(8, 3, generator=torch.Generator().manual_seed(4))
    one_class = Pairs(raw, torch.zeros(8, dtype=torch.int64), normalized=False)
    assert torch.equal(VICReg()(one_class, None), VICReg()(views_of(raw), None))


@pytest.mark.parametrize("items", [1, 2, 5])
def test_collapsed_views_have_finite_gradients(items):
    raw = torch.ones(2 * items, 3, requires_grad=True)
    value = VICReg()(views_of(raw), None)
    (gradient,) = torch.autograd.grad(value, raw)
    assert value.item() == pytest.approx(25 * (1 - 0.01))
    assert torch.isfinite(gradient).all()


def test_an_odd_number_of_embeddings_is_refused():
    with pytest.raises(PluginError, match="two views"):
        VICReg()(Pairs(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64)), None)
