"""Fit one network by one loss."""

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench.contracts import Sampler
from dmlbench.data.feed import Feed
from dmlbench.data.items import Items, with_consecutive_labels
from dmlbench.data.placed import place
from dmlbench.device import autocast
from dmlbench.embedder import Embedder, embed
from dmlbench.errors import ConfigError, TrialError
from dmlbench.objective import Objective
from dmlbench.protocol import Optimiser, Protocol

# Each stream of random numbers is seeded by (seed, stream, …), so that the same seed gives every
# loss the same initial network, batches and augmentation: rows can be compared in pairs.
NETWORK_STREAM, LOSS_STREAM, BATCH_STREAM, IMAGE_STREAM = range(4)
MINER_STREAM, SPLIT_STREAM, FIT_STREAM = range(4, 7)


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
    """Train `model` in place; yield after each epoch its mean loss.

    Args:
        model: the network, on `device`.
        recipe: objective (on `device`), sampler, protocol and seed.
        items: what to learn from.
        device: where to compute.

    Raises:
        TrialError: the loss is not finite, or the sampler made other batches than it was to.
    """
    choices, length = recipe.protocol.optimiser, recipe.protocol.length
    optimiser = make_optimiser(choices, model, recipe.objective)
    steps = length.steps(len(items), recipe.protocol.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_at(choices, step, steps, length.epochs)
    )
    resting = trainable(model.backbone) if choices.head_only_epochs else []
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
            for weight in resting:
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
        losses = torch.stack(values).tolist()
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
    """Return the embeddings of all items ``[N, D]``, not normalised, if anybody asks for them."""
    if recipe.objective.starts_epochs or "embeddings" in asks_for(recipe.sampler):
        return embed(model, items, device, recipe.protocol.precision)
    return None


def asks_for(sampler: Sampler) -> set[str]:
    """Return which of ``groups`` and ``embeddings`` a sampler wants besides labels."""
    return set(inspect.signature(sampler.batches).parameters) & {"groups", "embeddings"}


def extras(
    sampler: Sampler, items: Items, embeddings: Callable[[], np.ndarray]
) -> dict[str, np.ndarray]:
    """Return what `sampler` asks for besides labels: ``groups`` or ``embeddings``.

    Args:
        sampler: any.
        items: what it samples from.
        embeddings: called if it asks for them; returns ``[N, D]`` of length 1.

    Raises:
        ConfigError: it asks for groups, and the dataset has none.
    """
    asked, found = asks_for(sampler), {}
    if "groups" in asked:
        if items.groups is None:
            raise ConfigError(
                f"{type(sampler).__name__} puts batches together by super-classes, and this "
                "dataset has none. Choose another sampler, such as m-per-class."
            )
        found["groups"] = items.groups
    if "embeddings" in asked:
        found["embeddings"] = embeddings()
    return found


def batches_of_epoch(
    sampler: Sampler,
    protocol: Protocol,
    seed: int,
    items: Items,
    embeddings: Tensor | None,
    epoch: int,
) -> np.ndarray:
    """Return the items of each batch of an epoch ``[steps, B]`` int64.

    Args:
        sampler: what draws them.
        protocol: says how large a batch is, and how many make an epoch.
        seed: the trial's.
        items: what is sampled.
        embeddings: of the items ``[N, D]``, not normalised; None if the sampler needs none.
        epoch: counted from 1.

    Raises:
        TrialError: the sampler made other batches than it was to.
    """
    rng = np.random.default_rng((seed, BATCH_STREAM, epoch))
    size = protocol.batch_size
    steps = protocol.length.steps(len(items), size)

    def unit_embeddings() -> np.ndarray:
        assert embeddings is not None  # they are there if the sampler asks for them
        return F.normalize(embeddings).cpu().numpy()

    more = extras(sampler, items, unit_embeddings)
    batches = sampler.batches(items.labels, batch_size=size, steps=steps, rng=rng, **more)
    made = list(islice(batches, steps + 1))
    name, shapes = type(sampler).__name__, {np.shape(index) for index in made}
    if len(made) != steps or shapes != {(size,)}:
        found = " and ".join(str(list(shape)) for shape in sorted(shapes))
        raise TrialError(
            f"{name} made {len(made)} batches of {found} items, not {steps} of {size}."
        )
    stacked = np.stack(made)
    if stacked.dtype.kind not in "iu":
        raise TrialError(f"{name} made batches of {stacked.dtype}, not of integers.")
    if stacked.min() < 0 or stacked.max() >= len(items):
        raise TrialError(
            f"{name} made batches of items {stacked.min()} to {stacked.max()}; they are numbered "
            f"from 0 to {len(items) - 1}."
        )
    return stacked.astype(np.int64, copy=False)


def _feed(recipe: Recipe, items: Items, device: torch.device) -> Feed:
    inputs = place(items.inputs, device)
    return Feed(
        inputs,
        recipe.protocol.augmentation,
        recipe.protocol.interpolation,
        key=(recipe.seed, IMAGE_STREAM),
        views=recipe.objective.views,
        threads=inputs.threads,
    )


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
