"""Optimisers, learning-rate schedules and gradient clipping, as a protocol sets them."""

import math

import torch
from torch import nn

from dmlbench.schemas.protocol import Optimiser
from dmlbench.training.embedder import Embedder
from dmlbench.training.objective import Objective


def make_optimiser(
    choices: Optimiser, model: Embedder, objective: Objective
) -> torch.optim.Optimizer:
    """Return the optimiser of network and losses, a parameter group for each learning rate."""
    head = list(model.head.parameters()) if choices.head_lr_multiple != 1 else []
    others = {id(weight) for weight in head}
    groups = [
        {
            "params": [weight for weight in model.parameters() if id(weight) not in others],
            "lr": choices.lr,
            "weight_decay": choices.weight_decay,
        },
        *objective.parameter_groups(choices.lr),
    ]
    if head:
        rate = choices.lr * choices.head_lr_multiple
        groups.append({"params": head, "lr": rate, "weight_decay": choices.weight_decay})
    if choices.name == "sgd":
        return torch.optim.SGD(groups, momentum=choices.momentum)
    eps = 1e-8 if choices.eps is None else choices.eps
    if choices.name == "rmsprop":
        return torch.optim.RMSprop(groups, momentum=choices.momentum, eps=eps)
    if choices.name == "adam":
        return torch.optim.Adam(groups, eps=eps)
    return torch.optim.AdamW(groups, eps=eps)


def rate_at(choices: Optimiser, step: int, steps: int, epochs: int) -> float:
    """Return the share of its learning rate with which everything takes a step, from 0 on."""
    warmth = min(1.0, (step + 1) / (choices.warmup_steps + 1))
    if choices.schedule == "constant":
        return warmth
    if choices.schedule == "cosine":
        return warmth * (1 + math.cos(math.pi * step / (steps * epochs))) / 2
    assert choices.step_epochs is not None  # a protocol without them is refused
    assert choices.step_factor is not None
    factor: float = choices.step_factor ** (step // steps // choices.step_epochs)
    return warmth * factor


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that learn."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def clip_gradients(model: nn.Module, objective: nn.Module, choices: Optimiser) -> None:
    """Limit the gradients in place, as the protocol says."""
    if choices.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), choices.clip_norm)
    if choices.clip_value is not None:
        weights = [*model.parameters(), *objective.parameters()]
        nn.utils.clip_grad_value_(weights, choices.clip_value)
