"""Optimisers, learning-rate schedules and gradient clipping, as a protocol sets them."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from dmlbench.schemas.protocol import Optimiser
from dmlbench.training.embedder import Embedder
from dmlbench.training.objective import Objective
from dmlbench.training.own_rates import own_rates


def make_optimiser(
    choices: Optimiser, model: Embedder, objective: Objective
) -> torch.optim.Optimizer:
    """Return the optimiser of network and losses, with a parameter group per learning rate."""
    groups = [group for group in _groups(choices, model, objective) if group["params"]]
    for group in groups:
        group["initial_lr"] = group["lr"]
    if choices.name == "sgd":
        return torch.optim.SGD(groups, momentum=choices.momentum)
    eps = 1e-8 if choices.eps is None else choices.eps
    if choices.name == "rmsprop":
        return torch.optim.RMSprop(groups, momentum=choices.momentum, eps=eps)
    if choices.name == "adam":
        return torch.optim.Adam(groups, eps=eps)
    return torch.optim.AdamW(groups, eps=eps)


def _groups(choices: Optimiser, model: Embedder, objective: Objective) -> Iterator[dict[str, Any]]:
    head = list(model.head.parameters()) if choices.head_lr_multiple != 1 else []
    in_head = {id(weight) for weight in head}
    rest = [weight for weight in model.parameters() if id(weight) not in in_head]
    yield from _decaying(choices, rest, choices.lr)
    for summand in objective.summands:
        decay = summand.loss.own_weight_decay
        for rate in own_rates(summand.loss, choices):
            yield {"params": rate.weights, "lr": rate.lr, "weight_decay": decay}
    yield from _decaying(choices, head, choices.lr * choices.head_lr_multiple)


def _decaying(
    choices: Optimiser, weights: Sequence[nn.Parameter], lr: float
) -> Iterator[dict[str, Any]]:
    """Yield the group of the weights that decay, and that of norms and biases if these do not."""
    decaying = [w for w in weights if choices.decay_norms_and_biases or w.ndim >= 2]
    decays = {id(weight) for weight in decaying}
    others = [weight for weight in weights if id(weight) not in decays]
    yield {"params": decaying, "lr": lr, "weight_decay": choices.weight_decay}
    yield {"params": others, "lr": lr, "weight_decay": 0.0}


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to its initial one times `factor`."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


def rate_at(choices: Optimiser, step: int, steps: int, epochs: int) -> float:
    """Return what all learning rates are multiplied by at a step.

    >>> choices = Optimiser(name="sgd", lr=1, weight_decay=0, schedule="cosine", warmup_steps=0)
    >>> [rate_at(choices, step, steps=5, epochs=2) for step in (0, 5)]
    [1.0, 0.5]

    Args:
        choices: schedule and warm-up.
        step: counted from 0, over all epochs.
        steps: number of steps in an epoch.
        epochs: number of epochs.
    """
    warmth = min(1.0, (step + 1) / (choices.warmup_steps + 1))
    if choices.schedule == "constant":
        return warmth
    if choices.schedule == "cosine":
        return warmth * (1 + math.cos(math.pi * step / (steps * epochs))) / 2
    done = step // steps
    assert choices.step_factor is not None  # a protocol without it is refused
    if choices.schedule == "milestones":
        falls = sum(epoch <= done for epoch in choices.milestones)
    else:
        assert choices.step_epochs is not None
        falls = done // choices.step_epochs
    factor: float = choices.step_factor**falls
    return warmth * factor


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are to be trained."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def clip_gradients(model: nn.Module, objective: nn.Module, choices: Optimiser) -> None:
    """Clip the gradients in place, as the protocol sets it."""
    if choices.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), choices.clip_norm)
    if choices.clip_value is not None:
        weights = [*model.parameters(), *objective.parameters()]
        nn.utils.clip_grad_value_(weights, choices.clip_value)
