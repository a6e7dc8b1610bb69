"""One step of training: forward, backward, update."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from dmlbench.compute.determinism import seeded
from dmlbench.compute.world import ALONE, World
from dmlbench.schemas.protocol import Optimiser
from dmlbench.training.embedder import Embedder
from dmlbench.training.objective import Objective
from dmlbench.training.optimisers import clip_gradients, make_optimiser
from dmlbench.training.passes import pass_through


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
    world: World = ALONE
    """The processes that train it together."""


def begin(
    model: Embedder, objective: Objective, choices: Optimiser, world: World = ALONE
) -> Training:
    """Return the training of `model` and `objective` before its first step."""
    device = next(model.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=model.precision == "float16")
    optimiser = make_optimiser(choices, model, objective)
    return Training(model, objective, optimiser, scaler, world=world)


def take_step(
    training: Training,
    inputs: Iterator[Tensor],
    labels: Tensor,
    choices: Optimiser,
    key: tuple[int, ...] = (),
) -> Tensor:
    """Update network and losses by one batch; return the loss, a scalar without gradient.

    Gradients go back to the features in float32, and from there on in the backbone's precision.

    Args:
        training: what is updated.
        inputs: gives this process's share of the batch, whole; or in chunks, and those again if the
            backbone learns.
        labels: of all images of the batch ``[B]``.
        choices: of the optimiser.
        key: of the random numbers of the network (dropout), where several processes train it: they
            differ from process to process, while those of losses and miners are the same in all.
    """
    model, scaler, world = training.model, training.scaler, training.world
    share = world.share(len(labels))
    with seeded(labels.device, *key, world.rank) if world.size > 1 else nullcontext():
        passed = pass_through(model, inputs, share.stop - share.start)
    gathered = world.gather(passed.features.detach(), len(labels))
    features = gathered.requires_grad_(passed.learns)
    value: Tensor = training.objective(model.head(features), labels)
    training.optimiser.zero_grad()
    scaler.scale(value).backward()
    if features.grad is not None:
        passed.backward(features.grad[share])
        if world.size > 1:
            world.add_up(model.backbone.parameters())
    scaler.unscale_(training.optimiser)
    clip_gradients(model, training.objective, choices)
    scale = scaler.get_scale()
    scaler.step(training.optimiser)
    scaler.update()
    training.skipped_steps += scaler.get_scale() < scale
    return value.detach()
