"""Proxy-NCA against plain loops; it needs two classes."""

import pytest
import torch
from support.loss_loops import (
    LABELS,
    Batch,
    C,
    check_on_labels,
    mean,
)
from torch import Tensor

from dmlbench import ConfigError
from dmlbench_losses.proxy_nca import ProxyNCA


def by_loops(loss: ProxyNCA, batch: Batch, selection: None) -> Tensor:
    def similarity(i: int, c: int) -> Tensor:
        proxy = loss.proxies[c] / loss.proxies[c].square().sum().sqrt()
        return torch.exp(-(loss.scale * (batch.anchor(i) - proxy)).square().sum())

    return mean(
        [
            -torch.log(similarity(i, y) / sum(similarity(i, c) for c in range(C) if c != y))
            for i, y in enumerate(LABELS.tolist())
        ]
    )


@pytest.mark.parametrize("settings", [{}, {"scale": 1.0}])
def test_agrees_with_plain_loops(settings):
    check_on_labels(lambda **sizes: ProxyNCA(**sizes, **settings), by_loops)


def test_a_single_class_is_refused():
    with pytest.raises(ConfigError, match="at least 2 training classes"):
        ProxyNCA(num_classes=1, embedding_dim=4)


def test_its_proxies_learn_faster_than_the_network():
    assert 50 <= ProxyNCA.own_lr_multiple <= 100
