"""Optimisers and schedules, against plain arithmetic."""

import math

import pytest
import torch
from support.small_training import OwnWeight, Sum, Two, fit, fit_two
from torch import Tensor, nn

from dmlbench import Pairs
from dmlbench.schemas.protocol import Optimiser
from dmlbench.training.objective import Objective, Summand
from dmlbench.training.optimisers import make_optimiser
from dmlbench.training.own_rates import own_rates_text


def rates(lr: float, schedule: str, warmup: int, total: int = 6) -> list[float]:
    found = []
    for step in range(total):
        rate = lr * min(1, (step + 1) / (warmup + 1))
        found.append(
            rate * (1 + math.cos(math.pi * step / total)) / 2 if schedule == "cosine" else rate
        )
    return found


def descend(
    start: float, gradient: float, decay: float, rates: list[float], momentum: float = 0.9
) -> float:
    """Return where gradient descent with momentum ends."""
    value, velocity = start, 0.0
    for rate in rates:
        velocity = momentum * velocity + gradient + decay * value
        value -= rate * velocity
    return value


def test_the_head_may_learn_faster():
    changes = {"optimiser__name": "sgd", "optimiser__schedule": "constant"}
    changes |= {"optimiser__warmup_steps": 0, "optimiser__momentum": 0, "length__epochs": 1}
    changes |= {"length__steps_per_epoch": 1, "optimiser__lr": 1e-2, "optimiser__weight_decay": 0}
    moves = []
    for multiple in (1, 10):
        before, after = fit_two(Sum(), optimiser__head_lr_multiple=multiple, **changes)
        moves.append({name: after[name] - before[name] for name in before})
    for name, move in moves[0].items():
        factor = 10 if name.startswith("head") else 1
        assert torch.allclose(moves[1][name], factor * move, atol=1e-6), name


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("warmup", [0, 4])
def test_the_learning_rate_grows_and_falls_as_the_protocol_says(schedule, warmup):
    changes = {"optimiser__name": "sgd", "optimiser__lr": 0.1, "optimiser__weight_decay": 0.5}
    changes |= {"optimiser__schedule": schedule, "optimiser__warmup_steps": warmup}
    loss = OwnWeight()
    model, _ = fit(loss, **changes)
    steps = rates(0.1, schedule, warmup)
    assert model.weight.item() == pytest.approx(descend(1.0, 1.0, 0.5, steps), rel=1e-5)
    own = descend(2.0, 1.0, 0.25, [50 * rate for rate in steps])
    assert loss.own.item() == pytest.approx(own, rel=1e-4)


def test_the_rate_falls_by_a_factor_every_few_epochs():
    changes = {"optimiser__name": "sgd", "optimiser__lr": 0.1, "optimiser__weight_decay": 0.5}
    changes |= {"optimiser__step_epochs": 2, "optimiser__step_factor": 0.5}
    changes |= {"optimiser__schedule": "step", "optimiser__warmup_steps": 0}
    changes |= {"optimiser__momentum": 0.8, "length__epochs": 5}
    model, _ = fit(Sum(), **changes)
    steps = [0.1] * 6 + [0.05] * 6 + [0.025] * 3
    assert model.weight.item() == pytest.approx(descend(1.0, 1.0, 0.5, steps, 0.8), rel=1e-5)


@pytest.mark.parametrize(("name", "decoupled"), [("adam", False), ("adamw", True)])
def test_adaptive_optimisers_take_steps_of_the_learning_rate(name, decoupled):
    changes = {"optimiser__name": name, "optimiser__lr": 0.01, "optimiser__weight_decay": 0.5}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    model, _ = fit(Sum(), **changes)
    value = 1.0
    for _ in range(6):  # a constant gradient makes each step one learning rate
        value = value * (1 - 0.01 * 0.5 * decoupled) - 0.01
    assert model.weight.item() == pytest.approx(value, abs=1e-4)


def test_rmsprop_has_momentum_and_eps():
    changes = {"optimiser__name": "rmsprop", "optimiser__lr": 0.01, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    changes |= {"optimiser__momentum": 0.5, "optimiser__eps": 0.1}
    model, _ = fit(Sum(), **changes)
    value, square, velocity = 1.0, 0.0, 0.0
    for _ in range(6):
        square = 0.99 * square + 0.01
        velocity = 0.5 * velocity + 1 / (math.sqrt(square) + 0.1)
        value -= 0.01 * velocity
    assert model.weight.item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adaptive_optimisers_take_their_eps(name):
    changes = {"optimiser__name": name, "optimiser__lr": 0.01, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    model, _ = fit(Sum(), optimiser__eps=1, **changes)
    assert model.weight.item() == pytest.approx(1 - 6 * 0.01 / 2, abs=1e-5)


def test_long_gradients_of_the_network_are_cut():
    class Steep(OwnWeight):
        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            return 1000 * super().forward(pairs, selection)

    changes = {"optimiser__name": "sgd", "optimiser__lr": 0.1, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    model, _ = fit(Steep(), optimiser__clip_norm=2, **changes)
    assert model.weight.item() == pytest.approx(descend(1.0, 2.0, 0.0, [0.1] * 6), rel=1e-4)


def test_large_values_of_gradients_are_cut_those_of_the_loss_too():
    class Steep(OwnWeight):
        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            return 1000 * super().forward(pairs, selection)

    changes = {"optimiser__name": "sgd", "optimiser__lr": 1e-3, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    loss = Steep()
    loss.own_weight_decay = 0.0
    model, _ = fit(loss, optimiser__clip_value=2, **changes)
    assert model.weight.item() == pytest.approx(descend(1.0, 2.0, 0.0, [1e-3] * 6), rel=1e-4)
    assert loss.own.item() == pytest.approx(descend(2.0, 2.0, 0.0, [0.05] * 6), rel=1e-4)


def test_the_rate_falls_by_a_factor_after_each_milestone():
    falling = Optimiser(
        name="sgd",
        lr=0.1,
        momentum=0,
        weight_decay=0,
        schedule="milestones",
        milestones=(1, 4),
        step_factor=0.5,
        warmup_steps=0,
    )
    model, _ = fit(Sum(), optimiser=falling, length__epochs=5)
    moved = 3 * 0.1 + 9 * 0.05 + 3 * 0.025
    assert model.weight.item() == pytest.approx(1 - moved, rel=1e-5)


# Rates of a loss's own parameters


class WithVectors(OwnWeight):
    """A scalar and class vectors, whose gradients are 1 at each step."""

    def __init__(self, *vectors: float) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.tensor([vectors]))

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        return super().forward(pairs, selection) + self.vectors.sum()


@pytest.mark.parametrize(
    ("house", "rate"),
    [({}, 5.0), ({"class_vectors_lr": 0.03}, 0.03), ({"class_vectors_lr_multiple": 7}, 0.7)],
)
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_class_vectors_may_learn_at_a_rate_of_the_protocol(house, rate, schedule):
    changes = {"optimiser__name": "sgd", "optimiser__lr": 0.1, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": schedule, "optimiser__warmup_steps": 2}
    loss = WithVectors(2.0, -1.0)
    fit(loss, **changes, **{f"optimiser__{name}": value for name, value in house.items()})
    factors = rates(1.0, schedule, 2)
    own = descend(2.0, 1.0, 0.25, [5.0 * factor for factor in factors])
    assert loss.own.item() == pytest.approx(own, rel=1e-4)
    for start, end in zip((2.0, -1.0), loss.vectors[0].tolist(), strict=True):
        expected = descend(start, 1.0, 0.25, [rate * factor for factor in factors])
        assert end == pytest.approx(expected, rel=1e-4)


def choices(**changes: object) -> Optimiser:
    usual = {"name": "adamw", "lr": 0.1, "weight_decay": 0.5}
    return Optimiser(**(usual | {"schedule": "constant", "warmup_steps": 0} | changes))


class Slow(WithVectors):
    own_lr_multiple = 1.0


class Plain(Sum):
    own_lr_multiple = 9.0  # of nothing


@pytest.mark.parametrize(
    ("changes", "text", "groups"),
    [
        ({}, "50x, 1x", [0.1, 5.0, 0.1]),
        (
            {"class_vectors_lr": 1.5e-3},
            "50x and 0.0015 (house rate), 1x and 0.0015 (house rate)",
            [0.1, 5.0, 1.5e-3, 0.1, 1.5e-3],
        ),
        (
            {"class_vectors_lr_multiple": 50},
            "50x, 1x and 50x (house rate)",
            [0.1, 5.0, 0.1, 5.0],
        ),
    ],
)
def test_the_record_tells_the_rates_and_each_has_one_group(changes, text, groups):
    losses = [WithVectors(1.0), Plain(), Slow(1.0)]
    objective = Objective([Summand(loss) for loss in losses])
    assert own_rates_text(losses, choices(**changes)) == text
    made = make_optimiser(choices(**changes), Two(), objective).param_groups
    assert [group["lr"] for group in made] == pytest.approx(groups)
    assert [group["weight_decay"] for group in made] == [0.5, *[0.25] * (len(groups) - 1)]
    held = [id(weight) for group in made for weight in group["params"]]
    assert len(held) == len(set(held)) == 6 + 4


def test_losses_without_parameters_have_no_rate():
    assert own_rates_text([Plain()], choices(class_vectors_lr=1)) == ""


class Silent(Sum):
    """Has no gradient, so that weights change by their decay alone."""

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        return 0 * super().forward(pairs, selection)


@pytest.mark.parametrize("head_multiple", [1, 2])
@pytest.mark.parametrize("everything", [True, False])
def test_norms_and_biases_may_be_spared_from_weight_decay(everything, head_multiple):
    changes = {"optimiser__name": "sgd", "optimiser__schedule": "constant", "length__epochs": 1}
    changes |= {"optimiser__warmup_steps": 0, "optimiser__momentum": 0, "optimiser__lr": 0.1}
    changes |= {"optimiser__weight_decay": 0.5, "optimiser__head_lr_multiple": head_multiple}
    changes |= {"optimiser__decay_norms_and_biases": everything}
    before, after = fit_two(Silent(), **changes)
    matrices = {"backbone.0.weight": 1, "head.weight": head_multiple}
    vectors = {"backbone.1.weight": 1, "backbone.1.bias": 1, "head.bias": head_multiple}
    for name, multiple in (matrices | vectors).items():
        decays = everything or name in matrices
        kept = (1 - 0.1 * multiple * 0.5) ** 3 if decays else 1
        assert torch.allclose(after[name], kept * before[name]), name
