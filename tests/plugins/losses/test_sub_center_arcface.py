"""Sub-center ArcFace against its formula in plain loops, and ArcFace."""

import math

import pytest
import torch
from support.loss_loops import (
    LABELS,
    SIZES,
    Batch,
    C,
    D,
    check_on_labels,
    cosine,
    make_batch,
    softmax_terms,
)
from torch import Tensor

from dmlbench import Pairs
from dmlbench_losses.arcface import ArcFace
from dmlbench_losses.sub_center_arcface import SubCenterArcFace


def by_loops(loss: SubCenterArcFace, batch: Batch, selection: None) -> Tensor:
    centers = loss.weight.view(-1, C, D)

    def logit(i: int, c: int) -> Tensor:
        value = max(cosine(batch.anchor(i), center) for center in centers[:, c])
        if c == LABELS[i]:
            m = loss.margin * math.pi / 180
            angle = torch.acos(value)
            value = torch.cos(angle + m) if angle + m <= math.pi else value - m * math.sin(m)
        return loss.scale * value

    return softmax_terms(batch, logit)


@pytest.mark.parametrize(
    "settings", [{}, {"sub_centers": 1}, {"sub_centers": 5}, {"margin": 80.0, "scale": 8.0}]
)
def test_value_and_gradient_agree_with_plain_loops(settings):
    check_on_labels(lambda **sizes: SubCenterArcFace(**sizes, **settings), by_loops)


def test_with_one_sub_center_it_is_arcface():
    ours = SubCenterArcFace(**SIZES, sub_centers=1).double()
    plain = ArcFace(**SIZES).double()
    plain.load_state_dict(ours.state_dict())
    pairs = make_batch("batch").pairs
    assert ours(pairs, None).item() == plain(pairs, None).item()


def test_an_item_pulls_the_nearest_sub_center_of_its_class_alone():
    loss = SubCenterArcFace(num_classes=2, embedding_dim=3, scale=4.0)
    with torch.no_grad():
        loss.weight.view(3, 2, 3)[:, 0].copy_(torch.eye(3))
    anchor = torch.nn.functional.normalize(torch.tensor([[0.1, 0.9, 0.2]]))
    loss(Pairs(anchor, torch.tensor([0])), None).backward()
    own = loss.weight.grad.view(3, 2, 3)[:, 0]
    assert own[1].any()
    assert not own[[0, 2]].any()
