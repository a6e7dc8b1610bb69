"""ArcFace against plain loops, also where angle and margin exceed 180 degrees."""

import math

import pytest
import torch
import torch.nn.functional as F
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

from dmlbench import Pairs
from dmlbench_losses.arcface import ArcFace


def by_loops(loss: ArcFace, batch: Batch, selection: None) -> Tensor:
    def logit(i: int, c: int) -> Tensor:
        value = cosine(batch.anchor(i), loss.weight[c])
        if c == LABELS[i]:
            m = loss.margin * math.pi / 180
            angle = torch.acos(value)
            value = torch.cos(angle + m) if angle + m <= math.pi else value - m * math.sin(m)
        return loss.scale * value

    return softmax_terms(batch, logit)


@pytest.mark.parametrize("settings", [{}, {"margin": 80.0, "scale": 8.0}])
def test_agrees_with_plain_loops(settings):
    check_on_labels(lambda **sizes: ArcFace(**sizes, **settings), by_loops)


def test_the_case_with_a_margin_of_80_degrees_really_goes_beyond_180():
    torch.manual_seed(4)
    loss = ArcFace(**SIZES).double()
    cosines = make_batch("batch").pairs.anchors @ F.normalize(loss.weight).T
    angles = cosines.gather(1, LABELS[:, None]).acos().rad2deg()
    assert (angles > 180 - 80).any()
    assert (angles < 180 - 80).any()


def test_it_falls_steadily_from_180_degrees_to_0():
    loss = ArcFace(num_classes=2, embedding_dim=3).double()
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1]]))
    angles = torch.linspace(math.pi, 0, 400, dtype=torch.float64)
    anchors = torch.stack([angles.cos(), angles.sin(), 0 * angles], dim=1)
    values = torch.stack([loss(Pairs(a[None], torch.tensor([0])), None) for a in anchors])
    assert (values.diff() < 0).sum() > 250
    assert (values.diff() <= 1e-12).all()
