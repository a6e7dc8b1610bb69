"""Proxy-Anchor against plain loops."""

import torch
from support.loss_loops import (
    LABELS,
    Batch,
    C,
    check_on_labels,
    cosine,
    mean,
)
from torch import Tensor

from dmlbench_losses.proxy_anchor import ProxyAnchor


def by_loops(loss: ProxyAnchor, batch: Batch, selection: None) -> Tensor:
    pull, push = [], []
    for c in range(C):
        own, rest = [], []
        for i, label in enumerate(LABELS.tolist()):
            s = cosine(batch.anchor(i), loss.proxies[c])
            if label == c:
                own.append(torch.exp(-loss.alpha * (s - loss.delta)))
            else:
                rest.append(torch.exp(loss.alpha * (s + loss.delta)))
        if own:
            pull.append(torch.log(1 + sum(own)))
        push.append(torch.log(1 + sum(rest)))
    return mean(pull) + mean(push)


def test_agrees_with_plain_loops():
    check_on_labels(ProxyAnchor, by_loops)


def test_its_proxies_learn_a_hundred_times_as_fast_as_the_network_as_in_the_source():
    assert ProxyAnchor.own_lr_multiple == 100
