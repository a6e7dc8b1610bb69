"""CosFace against its formula in plain loops, and what it is without a margin."""

import pytest
import torch
from support.loss_loops import (
    LABELS,
    SIZES,
    Batch,
    check_on_labels,
    cosine,
    make_batch,
    softmax_terms,
)
from torch import Tensor

from dmlbench_losses.cosface import CosFace
from dmlbench_losses.normalized_softmax import NormalizedSoftmax


def by_loops(loss: CosFace, batch: Batch, selection: None) -> Tensor:
    return softmax_terms(
        batch,
        lambda i, c: (
            loss.scale
            * (cosine(batch.anchor(i), loss.weight[c]) - loss.margin * int(c == LABELS[i]))
        ),
    )


@pytest.mark.parametrize("settings", [{}, {"margin": 0.0}, {"margin": 0.8, "scale": 9.0}])
def test_value_and_gradient_agree_with_plain_loops(settings):
    check_on_labels(lambda **sizes: CosFace(**sizes, **settings), by_loops)


def test_without_a_margin_it_is_normalised_softmax():
    ours = CosFace(**SIZES, margin=0.0, scale=20.0).double()
    plain = NormalizedSoftmax(**SIZES, temperature=0.05).double()
    plain.load_state_dict(ours.state_dict())
    pairs = make_batch("batch").pairs
    assert ours(pairs, None).item() == pytest.approx(plain(pairs, None).item(), rel=1e-12)


def test_a_larger_margin_costs_more():
    torch.manual_seed(1)
    pairs = make_batch("batch").pairs
    losses = [CosFace(**SIZES, margin=margin, scale=4.0).double() for margin in (0.0, 0.3, 0.9)]
    for loss in losses:
        loss.load_state_dict(losses[0].state_dict())
    values = [loss(pairs, None).item() for loss in losses]
    assert values == sorted(values)
    assert values[0] < values[2]
