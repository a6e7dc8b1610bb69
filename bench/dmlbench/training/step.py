"""One step of training: forward, backward, update."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dmlbench.compute.precision import backward_in
from dmlbench.schemas.protocol import Optimiser
from dmlbench.training.embedder import Embedder
from dmlbench.training.objective import Objective
from dmlbench.training.optimisers import clip_gradients, make_optimiser


@dataclass
class Training:
    """A training so far. Besides torch's random state, it is all that the next step depends on."""

    model: Embedder
    objective: Objective
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Scales losses so that gradients of float16 don't vanish; does nothing in other precisions."""
    epoch: int = 0
    """Epochs that are over."""
    loss: float | None = None
    """Mean over the steps of the last epoch; None before the first."""
    skipped_steps: int = 0
    """Steps whose gradients overflowed in float16, so that no weight was changed."""


def begin(model: Embedder, objective: Objective, choices: Optimiser) -> Training:
    """Return the training of `model` and `objective` before its first step."""
    device = next(model.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=model.precision == "float16")
    return Training(model, objective, make_optimiser(choices, model, objective), scaler)


def take_step(training: Training, batch: Tensor, labels: Tensor, choices: Optimiser) -> Tensor:
    """Update network and losses by one batch; return the loss, a scalar without gradient.

    Gradients go back to the features in float32, and from there on in the backbone's precision.
    """
    model, scaler = training.model, training.scaler
    features = model.features(batch)
    learnt_from = features.detach().requires_grad_(features.requires_grad)
    value: Tensor = training.objective(model.head(learnt_from), labels)
    training.optimiser.zero_grad()
    scaler.scale(value).backward()
    if learnt_from.grad is not None:
        with backward_in(model.precision, features.device):
            features.backward(learnt_from.grad)
    scaler.unscale_(training.optimiser)
    clip_gradients(model, training.objective, choices)
    scale = scaler.get_scale()
    scaler.step(training.optimiser)
    scaler.update()
    training.skipped_steps += scaler.get_scale() < scale
    return value.detach()
