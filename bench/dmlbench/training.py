"""Fit one network by one loss."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench.contracts import Loss, Miner, Sampler
from dmlbench.data.augmentation import augment
from dmlbench.data.items import Items, with_consecutive_labels
from dmlbench.device import autocast
from dmlbench.embedder import Embedder
from dmlbench.errors import TrialError
from dmlbench.pairs import Pairs
from dmlbench.protocol import Optimiser, Protocol

# Each stream of random numbers is seeded by (seed, stream, …), so that the same seed gives every
# loss the same initial network, batches and augmentation: rows can be compared in pairs.
NETWORK_STREAM, LOSS_STREAM, BATCH_STREAM, IMAGE_STREAM = range(4)
MINER_STREAM, SPLIT_STREAM, FIT_STREAM = range(4, 7)


@dataclass(frozen=True)
class Recipe:
    """The components that train a network."""

    loss: Loss
    miner: Miner | None
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
        recipe: loss (on `device`), miner, sampler, protocol and seed.
        items: what to learn from.
        device: where to compute.

    Raises:
        TrialError: the loss is not finite, or the sampler made other batches than it was to.
    """
    optimiser = _optimiser(recipe.protocol.optimiser, model, recipe.loss)
    total = recipe.protocol.length.epochs * recipe.protocol.length.steps_per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _rate(recipe.protocol.optimiser, step, total)
    )
    inputs = torch.from_numpy(items.inputs).to(device)
    labels = torch.from_numpy(with_consecutive_labels(items.labels)[0]).to(device)
    for epoch in range(1, recipe.protocol.length.epochs + 1):
        model.train()
        recipe.loss.train()
        values = []
        for index, generator in _batches(recipe, items.labels, epoch):
            batch = _views(inputs[index.to(device)], recipe, generator)
            batch_labels = labels[index.to(device)].repeat(recipe.loss.views)
            with autocast(device, recipe.protocol.precision):
                embeddings = model(batch)
            value = step_loss(recipe.loss, recipe.miner, embeddings.float(), batch_labels)
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            _clip(model, recipe.protocol.optimiser.clip_norm)
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


def step_loss(loss: Loss, miner: Miner | None, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of one batch: pairs once, then the miner, then the loss.

    Raises:
        TrialError: the loss returned something other than one number with a gradient.
    """
    if loss.normalize:
        embeddings = F.normalize(embeddings)
    pairs = loss.extend(Pairs(embeddings, labels, normalized=loss.normalize))
    selection = None
    if miner is not None:
        with torch.no_grad():
            selection = miner.select(pairs)
    value = loss(pairs, selection)
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        raise TrialError(f"{type(loss).__name__} returned no scalar with a gradient: {value!r}.")
    return value


def _batches(
    recipe: Recipe, labels: np.ndarray, epoch: int
) -> Iterator[tuple[Tensor, torch.Generator]]:
    rng = np.random.default_rng((recipe.seed, BATCH_STREAM, epoch))
    generator = torch.Generator()
    generator.manual_seed(
        int(np.random.SeedSequence((recipe.seed, IMAGE_STREAM, epoch)).generate_state(1)[0])
    )
    size, steps = recipe.protocol.batch_size, recipe.protocol.length.steps_per_epoch
    batches = recipe.sampler.batches(labels, batch_size=size, steps=steps, rng=rng)
    made = list(islice(batches, steps + 1))
    if [len(index) for index in made] != [size] * steps:
        raise TrialError(
            f"{type(recipe.sampler).__name__} made {len(made)} batches of "
            f"{sorted({len(index) for index in made})} items, not {steps} of {size}."
        )
    for index in made:
        yield torch.from_numpy(index), generator


def _views(inputs: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    inputs = inputs.repeat(recipe.loss.views, *[1] * (inputs.ndim - 1))
    if inputs.ndim == 2:  # vectors know no augmentation
        return inputs
    return augment(inputs, recipe.protocol.augmentation, generator)


def _optimiser(choices: Optimiser, model: nn.Module, loss: Loss) -> torch.optim.Optimizer:
    groups = [
        {"params": list(model.parameters()), "lr": choices.lr, "weight_decay": choices.weight_decay}
    ]
    if own := list(loss.parameters()):
        rate = choices.lr * loss.own_lr_multiple
        groups.append({"params": own, "lr": rate, "weight_decay": loss.own_weight_decay})
    if choices.name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9)
    if choices.name == "adam":
        return torch.optim.Adam(groups)
    return torch.optim.AdamW(groups)


def _rate(choices: Optimiser, step: int, total: int) -> float:
    warmth = min(1.0, (step + 1) / (choices.warmup_steps + 1))
    if choices.schedule == "constant":
        return warmth
    return warmth * (1 + math.cos(math.pi * step / total)) / 2


def _clip(model: nn.Module, norm: float | None) -> None:
    if norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), norm)
