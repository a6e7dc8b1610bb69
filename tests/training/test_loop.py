"""The epochs of a training: how long they are, what learns in them, and what goes wrong."""

import math

import numpy as np
import pytest
import torch
from support.small_training import (
    CPU,
    ITEMS,
    LABELS,
    VECTORS,
    Noting,
    OwnWeight,
    Sum,
    Uniform,
    fit,
    fit_two,
)
from torch import Tensor

from dmlbench import Pairs, TrialError
from dmlbench.data.items import Items
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.shipped_protocols import protocol_names
from dmlbench.training.embedder import Embedder
from dmlbench.training.loop import Recipe, train
from dmlbench.training.objective import Objective, Summand
from dmlbench_backbones.linear import Linear
from dmlbench_backbones.small_conv import SmallConv
from dmlbench_backbones.timm_models import TimmModel
from dmlbench_samplers.shuffled import Shuffled


def test_the_head_learns_alone_in_the_epochs_that_are_its_own():
    loss = OwnWeight()
    changes = {"length__epochs": 3, "optimiser__head_only_epochs": 2}
    states = []
    own = [loss.own.item()]
    for state in fit_two(loss, **changes):
        states.append(state)
        own.append(loss.own.item())
    assert len(set(own[1:])) == 4
    for before, after, alone in zip(states, states[1:], (True, True, False), strict=False):
        for name in before:
            learns = name.startswith("head") or not alone
            learns &= name != "backbone.0.bias"  # never did
            assert torch.equal(before[name], after[name]) != learns, name


def test_an_epoch_can_be_one_pass_over_the_items():
    changes = {"length__steps_per_epoch": "pass", "batch_size": 5, "length__epochs": 2}
    model, _ = fit(Sum(), items=VECTORS, sampler=Shuffled(), **changes)
    assert [len(inputs) for inputs in model.inputs] == [5] * 8  # 24 items: 4 are left over
    for epoch in (model.inputs[:4], model.inputs[4:]):
        assert len({row.numpy().tobytes() for inputs in epoch for row in inputs}) == 20


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_that_ships_trains_a_small_network(name):
    shipped = load_protocol(name)
    if shipped.frozen or name == "vectors":
        backbone, items = Linear(), VECTORS
    elif shipped.backbone == "small-conv":
        backbone, items = SmallConv(width=4), ITEMS
    else:
        kind = "test_vit" if "vit" in shipped.backbone else "test_resnet"
        backbone = TimmModel(kind, weights="none", **shipped.backbone_settings)
        items = Items(np.repeat(ITEMS.inputs, 3, axis=1).repeat(4, 2).repeat(4, 3), LABELS)
    quick = shipped
    changes = {"length.epochs": 2, "length.steps_per_epoch": 1, "batch_size": 8}
    if shipped.precision == "float16":  # the first steps overflow until the scale has fallen
        changes["length.steps_per_epoch"] = 4
    changes |= {
        "embedding_dim": 4,
        "optimiser.head_only_epochs": shipped.optimiser.head_only_epochs > 0,
    }
    for key, value in changes.items():
        quick = quick.change(key, str(int(value)))
    torch.manual_seed(0)
    model = Embedder(backbone, items, 4, quick.head_init, quick.precision)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    recipe = Recipe(Objective([Summand(Noting())]), Uniform(), quick, 0)
    losses = [training.loss for training in train(model, recipe, items, CPU)]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert not torch.equal(before["head.weight"], model.head.weight)


@pytest.mark.parametrize(
    ("steps", "passes", "expected"), [("3", 0.5, 3), ("3", 5, 8), ("pass", 1, 3), ("pass", 2.6, 4)]
)
def test_epochs_get_the_steps_that_the_passes_need(steps, passes, expected):
    changes = {"length__steps_per_epoch": steps, "length__min_passes": passes}
    model, _ = fit(Sum(), **changes)  # 2 epochs of batches of 8; 24 items
    assert len(model.inputs) == 2 * expected
    assert 8 * len(model.inputs) >= passes * 24


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps():
    class Counting(Sum):
        steps = 0

        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            self.steps += 1
            return 0 * super().forward(pairs, selection) + self.steps

    assert fit(Counting())[1] == [2.0, 5.0]


@pytest.mark.parametrize(
    ("value", "word"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")]
)
def test_a_loss_that_is_no_number_is_named_with_its_step(value, word):
    class Diverging(Sum):
        steps = 0

        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            self.steps += 1
            return super().forward(pairs, selection) + (value if self.steps >= 5 else 0)

    with pytest.raises(TrialError, match=f"The loss became {word} at epoch 2, step 2"):
        fit(Diverging())


def test_huge_losses_are_still_numbers():
    class Huge(Sum):
        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            return 0 * super().forward(pairs, selection) + 3e38

    assert fit(Huge())[1] == [pytest.approx(3e38)] * 2
