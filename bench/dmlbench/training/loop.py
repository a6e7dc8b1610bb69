"""Train one network: its epochs and steps."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dmlbench.compute.determinism import IMAGE_STREAM, SHARE_STREAM
from dmlbench.compute.phases import progressed
from dmlbench.compute.world import ALONE, World
from dmlbench.contracts.components import Sampler
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.data.items import Items
from dmlbench.data.splits import with_consecutive_labels
from dmlbench.errors import TrialError
from dmlbench.schemas.protocol import Protocol
from dmlbench.training.embedder import Embedder, embed
from dmlbench.training.objective import Objective
from dmlbench.training.optimisers import rate_at, set_rates, trainable
from dmlbench.training.resumption import UnderWay
from dmlbench.training.sampling import asks_for, batches_of_epoch
from dmlbench.training.session import UNSAVED, Session, loading
from dmlbench.training.step import Training, begin, take_step


@dataclass(frozen=True)
class Recipe:
    """The components that train a network."""

    objective: Objective
    sampler: Sampler
    protocol: Protocol
    seed: int


def train(
    model: Embedder,
    recipe: Recipe,
    items: Items,
    device: torch.device,
    session: Session = UNSAVED,
    chunk: int | None = None,
    world: World = ALONE,
) -> Iterator[Training]:
    """Train `model` in place; yield its training, always the same object, after each epoch.

    A step that float16 skips counts in the schedule as any other: every row sees as many batches at
    the same rates.

    If the session goes on with a training, the first epoch is the one that was under way, even if
    all of its steps were taken.

    Args:
        model: the network, on `device`.
        recipe: objective (on `device`), sampler, protocol and seed.
        items: what to train on.
        device: where to compute.
        session: pauses after each step.
        chunk: most images that pass through the network at a time, see `passes`. None: a batch.
        world: the processes that train the network together, each of which calls this.

    Raises:
        TrialError: the loss is not finite, gradients overflow in float16 at any scale, or the
            sampler made wrong batches.
    """
    choices, length = recipe.protocol.optimiser, recipe.protocol.length
    training = begin(model, recipe.objective, choices, world)
    steps = length.steps(len(items), recipe.protocol.batch_size)
    backbone_weights = trainable(model.backbone) if choices.head_only_epochs else []
    feed = replace(_feed(recipe, items, device), chunk=chunk, world=world)
    labels = torch.from_numpy(with_consecutive_labels(items.labels)[0]).to(device)
    now = UnderWay(training, recipe.sampler, device)
    with session.part("training", now.saved):
        if left := session.take("training"):
            with loading():
                now.load(left)
        for epoch in range(max(1, now.epoch), length.epochs + 1):
            if epoch != now.epoch:
                now.start(epoch, _start_epoch(training, recipe, items, labels, epoch))
            model.train()
            recipe.objective.train()
            if choices.head_only_epochs:
                head_only = epoch <= choices.head_only_epochs
                model.backbone.train(not head_only)
                for weight in backbone_weights:
                    weight.requires_grad_(not head_only)
            done = len(now.losses)
            in_order = labels[torch.from_numpy(now.batches[done:]).to(device)]
            passes = 2 if chunk and model.backbone_learns else 1
            with closing(feed.batches(epoch, list(now.batches), done, passes)) as inputs:
                for step, own in enumerate(in_order, (epoch - 1) * steps + done):
                    set_rates(training.optimiser, rate_at(choices, step, steps, length.epochs))
                    own_labels = own.repeat(recipe.objective.views)
                    key = (recipe.seed, SHARE_STREAM, step)
                    now.losses.append(take_step(training, inputs, own_labels, choices, key))
                    session.pause()
                    progressed(step + 1, steps * length.epochs, "steps")
            losses = torch.stack(now.losses).tolist()  # once an epoch, as it waits for the GPU
            world.require_same("the losses of the steps", losses)
            _check(losses, epoch, training)
            training.epoch, training.loss = epoch, sum(losses) / len(losses)
            yield training


def _start_epoch(
    training: Training, recipe: Recipe, items: Items, labels: Tensor, epoch: int
) -> np.ndarray:
    """Start an epoch of the losses that ask for it; return its batches ``[steps, B]``."""
    embeddings = _embeddings_at_start(training, recipe, items, labels.device)
    if embeddings is not None and recipe.objective.starts_epochs:
        recipe.objective.start_epoch(embeddings, labels)
    return batches_of_epoch(recipe.sampler, recipe.protocol, recipe.seed, items, embeddings, epoch)


def _check(losses: list[float], epoch: int, training: Training) -> None:
    for step, value in enumerate(losses, start=1):
        if not math.isfinite(value):
            raise TrialError(
                f"The loss became {value} at epoch {epoch}, step {step}. "
                "Lower the learning rate, or look for a division by zero in the loss."
            )
    if training.scaler.get_scale() < 1:
        raise TrialError(
            f"Gradients overflow in float16 at any scale: {training.skipped_steps} steps were "
            f"skipped by the end of epoch {epoch}. Use another precision "
            "(--set protocol.precision=bfloat16, or float32)."
        )


def _embeddings_at_start(
    training: Training, recipe: Recipe, items: Items, device: torch.device
) -> Tensor | None:
    """Return the embeddings of all items ``[N, D]``, not normalised, if anything needs them."""
    if recipe.objective.starts_epochs or "embeddings" in asks_for(recipe.sampler):
        return embed(training.model, items, device, training.world)
    return None


def _feed(recipe: Recipe, items: Items, device: torch.device) -> Feed:
    inputs = to_device_inputs(items.inputs, device)
    return Feed(
        inputs,
        recipe.protocol.augmentation,
        recipe.protocol.interpolation,
        key=(recipe.seed, IMAGE_STREAM),
        views=recipe.objective.views,
        threads=inputs.threads,
    )
