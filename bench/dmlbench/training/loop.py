"""Train one network: its epochs and steps."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from dmlbench.compute.determinism import IMAGE_STREAM
from dmlbench.compute.device import autocast
from dmlbench.contracts.components import Sampler
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.data.items import Items
from dmlbench.data.splits import with_consecutive_labels
from dmlbench.errors import TrialError
from dmlbench.schemas.protocol import Protocol
from dmlbench.training.embedder import Embedder, embed
from dmlbench.training.objective import Objective
from dmlbench.training.optimisers import clip_gradients, make_optimiser, rate_at, trainable
from dmlbench.training.sampling import asks_for, batches_of_epoch


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
) -> Iterator[float]:
    """Train `model` in place; yield the mean loss of each epoch.

    Args:
        model: the network, on `device`.
        recipe: objective (on `device`), sampler, protocol and seed.
        items: what to train on.
        device: where to compute.

    Raises:
        TrialError: the loss is not finite, or the sampler made wrong batches.
    """
    choices, length = recipe.protocol.optimiser, recipe.protocol.length
    optimiser = make_optimiser(choices, model, recipe.objective)
    steps = length.steps(len(items), recipe.protocol.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_at(choices, step, steps, length.epochs)
    )
    backbone_weights = trainable(model.backbone) if choices.head_only_epochs else []
    feed = _feed(recipe, items, device)
    labels = torch.from_numpy(with_consecutive_labels(items.labels)[0]).to(device)
    for epoch in range(1, length.epochs + 1):
        embeddings = _embeddings_at_start(model, recipe, items, device)
        if embeddings is not None and recipe.objective.starts_epochs:
            recipe.objective.start_epoch(embeddings, labels)
        model.train()
        recipe.objective.train()
        if choices.head_only_epochs:
            head_only = epoch <= choices.head_only_epochs
            model.backbone.train(not head_only)
            for weight in backbone_weights:
                weight.requires_grad_(not head_only)
        values = []
        batches = batches_of_epoch(
            recipe.sampler, recipe.protocol, recipe.seed, items, embeddings, epoch
        )
        in_order = labels[torch.from_numpy(batches).to(device)]
        with closing(feed.batches(epoch, list(batches))) as inputs:
            for batch, batch_labels in zip(inputs, in_order, strict=True):
                with autocast(device, recipe.protocol.precision):
                    made = model(batch)
                value = recipe.objective(made.float(), batch_labels.repeat(recipe.objective.views))
                optimiser.zero_grad()
                value.backward()
                clip_gradients(model, recipe.objective, choices)
                optimiser.step()
                schedule.step()
                values.append(value.detach())
        losses = torch.stack(values).tolist()  # once an epoch, as it waits for the GPU
        for step, value in enumerate(losses, start=1):
            if not math.isfinite(value):
                raise TrialError(
                    f"The loss became {value} at epoch {epoch}, step {step}. "
                    "Lower the learning rate, or look for a division by zero in the loss."
                )
        yield sum(losses) / len(losses)


def _embeddings_at_start(
    model: Embedder, recipe: Recipe, items: Items, device: torch.device
) -> Tensor | None:
    """Return the embeddings of all items ``[N, D]``, not normalised, if anything needs them."""
    if recipe.objective.starts_epochs or "embeddings" in asks_for(recipe.sampler):
        return embed(model, items, device, recipe.protocol.precision)
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
