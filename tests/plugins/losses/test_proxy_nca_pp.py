"""ProxyNCA++ against its formula in plain loops, the peer and Proxy-NCA."""

import pytest
import torch
from pytorch_metric_learning import losses as peer
from support.loss_loops import (
    LABELS,
    SIZES,
    Batch,
    C,
    assert_same,
    check_on_labels,
    make_batch,
    mean,
    unit,
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


def test_value_and_gradient_agree_with_proxy_nca_of_pytorch_metric_learning():
    """It has the own proxy in the denominator too, and takes the squared length as its scale."""
    ours = ProxyNCAPlusPlus(num_classes=8, embedding_dim=16).double()
    theirs = peer.ProxyNCALoss(8, 16, softmax_scale=9).double()
    theirs.proxies.data.copy_(ours.proxies.detach())
    labels = torch.arange(40) % 7
    raw, embeddings = unit(40, 16, seed=8)
    assert_same(
        ours(Pairs(embeddings, labels), None), theirs(embeddings, labels), [raw], tolerance=1e-7
    )


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
