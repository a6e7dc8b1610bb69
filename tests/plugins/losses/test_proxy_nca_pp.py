"""ProxyNCA++ against its formula in plain loops, and Proxy-NCA."""

import pytest
import torch
from support.loss_loops import (
    LABELS,
    SIZES,
    Batch,
    C,
    check_on_labels,
    make_batch,
    mean,
)
from torch import Tensor

from dmlbench import Pairs
from dmlbench_losses.proxy_nca import ProxyNCA
from dmlbench_losses.proxy_nca_pp import ProxyNCAPlusPlus


def by_loops(loss: ProxyNCAPlusPlus, batch: Batch, selection: None) -> Tensor:
    def similarity(i: int, c: int) -> Tensor:
        proxy = loss.proxies[c] / loss.proxies[c].square().sum().sqrt()
        return torch.exp(-(loss.scale * (batch.anchor(i) - proxy)).square().sum())

    return mean(
        [
            -torch.log(similarity(i, y) / sum(similarity(i, c) for c in range(C)))
            for i, y in enumerate(LABELS.tolist())
        ]
    )


@pytest.mark.parametrize("settings", [{}, {"scale": 1.0}, {"scale": 7.0}])
def test_value_and_gradient_agree_with_plain_loops(settings):
    check_on_labels(lambda **sizes: ProxyNCAPlusPlus(**sizes, **settings), by_loops)


def test_each_term_is_the_softplus_of_proxy_nca():
    ours, plain = (kind(**SIZES).double() for kind in (ProxyNCAPlusPlus, ProxyNCA))
    plain.load_state_dict(ours.state_dict())
    anchors = make_batch("batch").pairs.anchors
    singles = [Pairs(anchors[i : i + 1], LABELS[i : i + 1]) for i in range(len(LABELS))]
    expected = torch.stack([plain(single, None) for single in singles]).exp().log1p().mean()
    assert ours(Pairs(anchors, LABELS), None).item() == pytest.approx(expected.item())


def test_it_ends_at_zero_on_the_own_proxy_far_from_the_others():
    loss = ProxyNCAPlusPlus(num_classes=2, embedding_dim=3, scale=12.0)
    with torch.no_grad():
        loss.proxies.copy_(torch.tensor([[1.0, 0, 0], [-1, 0, 0]]))
    value = loss(Pairs(loss.proxies.detach(), torch.arange(2)), None)
    assert 0 <= value.item() < 1e-6
