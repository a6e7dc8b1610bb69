"""A training step, as a loss sees it."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import backward

from dmlbench.contracts.components import Loss
from dmlbench.contracts.pairs import Pairs, Selection, as_triplets
from dmlbench.errors import PluginError
from dmlbench.testing.batches import ORDINARY, Batch, Memory
from dmlbench.testing.findings import case
from dmlbench.testing.stand_ins import all_pairs
from dmlbench.testing.subject import NUM_CLASSES
from dmlbench.testing.tensors import require_finite

_LONGEST_WARM_UP = 120
"""Steps within which a loss with a memory is expected to start using it."""


def scaled(loss: Loss, embeddings: Tensor) -> Tensor:
    """Return the embeddings normalised, if `loss` trains on normalised ones."""
    return F.normalize(embeddings) if loss.normalize else embeddings


def start_epoch(loss: Loss, batch: Batch = ORDINARY, num_classes: int = NUM_CLASSES) -> None:
    """Start an epoch on the items of the batch and of all classes that it lacks.

    Does nothing if the loss doesn't ask for it.
    """
    if not loss.starts_epochs:
        return
    known = batch.embeddings.detach()
    others = Batch.random(4 * num_classes, num_classes, known.shape[1], seed=3).to(known.device)
    absent = ~torch.isin(others.labels, batch.labels)
    embeddings = torch.cat([known, others.embeddings[absent].to(known.dtype)])
    labels = torch.cat([batch.labels, others.labels[absent]])
    loss.start_epoch(scaled(loss, embeddings), labels)


def pairs_of(loss: Loss, batch: Batch) -> tuple[Tensor, Pairs]:
    """Return what a training step passes to the miner and to `loss`.

    Returns:
        The embeddings as the network outputs them ``[views * B, D]``, with gradient, and their
        pairs, extended by the loss.
    """
    made = batch.repeat(loss.views)
    leaf = made.embeddings.clone().requires_grad_()
    return leaf, loss.extend(Pairs(scaled(loss, leaf), made.labels, normalized=loss.normalize))


def pairs_with(
    loss: Loss, batch: Batch, memory: Memory, *, batch_too: bool = False
) -> tuple[Tensor, Pairs]:
    """Return the pairs of a batch with a memory, and with the batch itself if `batch_too`.

    Returns:
        The embeddings with gradient, and the pairs, not extended by the loss.
    """
    made = batch.repeat(loss.views)
    leaf = made.embeddings.clone().requires_grad_()
    anchors = scaled(loss, leaf)
    references, labels = scaled(loss, memory.references), memory.labels
    index = torch.full((len(leaf),), -1)
    if batch_too:
        index = torch.arange(len(leaf)) + len(references)
        references, labels = torch.cat([references, anchors]), torch.cat([labels, made.labels])
    pairs = Pairs(anchors, made.labels, references, labels, index, normalized=loss.normalize)
    return leaf, pairs


def selections(loss: Loss, pairs: Pairs) -> Iterator[tuple[str, Selection | None]]:
    """Yield the selections of a whole batch that a loss may get, each with its name."""
    if loss.takes == "labels":
        yield "no selection", None
    else:
        yield "all pairs as masks", all_pairs(pairs)
        yield "all triplets as indices", as_triplets(all_pairs(pairs))


def select_all(loss: Loss, pairs: Pairs) -> Selection | None:
    """Return the first of `selections`: all pairs, or None for a loss that takes labels."""
    return next(selections(loss, pairs))[1]


def value_of(loss: Loss, pairs: Pairs, selection: Selection | None) -> Tensor:
    """Return the value of a loss.

    Raises:
        PluginError: it is not a scalar with a gradient.
    """
    value = loss(pairs, selection)
    if not isinstance(value, Tensor):
        raise PluginError(
            f"forward returned {value!r}, a {type(value).__name__}. It must return a tensor: a "
            "scalar with a gradient."
        )
    if value.ndim:
        raise PluginError(
            f"forward returned a tensor of shape {list(value.shape)}. It must return a scalar: "
            "take a mean, such as masked_mean(values, mask)."
        )
    if not value.requires_grad:
        raise PluginError(
            "The value of forward has no gradient. Keep it differentiable even where there is "
            "nothing to learn (masked_mean does), without detach, item or a new tensor."
        )
    return value


def gradients(loss: Loss, leaf: Tensor, value: Tensor) -> dict[str, Tensor | None]:
    """Return the gradients of a value for the embeddings and for the loss's own parameters."""
    named = {"the embeddings": leaf}
    named |= {
        f"its own parameter {name}": weight
        for name, weight in loss.named_parameters()
        if weight.requires_grad
    }
    found = torch.autograd.grad(value, list(named.values()), retain_graph=True, allow_unused=True)
    return dict(zip(named, found, strict=True))


def train_briefly(loss: Loss) -> None:
    """Train a loss's own parameters, and fill its memory, from the start of an epoch."""
    start_epoch(loss)
    has_memory = type(loss).extend is not Loss.extend
    for step in range(_LONGEST_WARM_UP if has_memory else 3):
        take_step(loss, Batch.random(12, 4, seed=10 + step))


def take_step(loss: Loss, batch: Batch) -> tuple[Tensor, Tensor]:
    """Train a loss's own parameters by one step.

    Returns:
        Its value, and the gradient of the embeddings.
    """
    leaf, pairs = pairs_of(loss, batch)
    value = value_of(loss, pairs, select_all(loss, pairs))
    backward(value)
    with torch.no_grad():
        for weight in loss.parameters():
            if weight.grad is not None:
                weight.sub_(0.01 * weight.grad)
                weight.grad = None
    return value.detach(), torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def require_finite_step(loss: Loss, leaf: Tensor, pairs: Pairs) -> None:
    """Check that value and gradients of a step are finite, however everything is selected.

    Raises:
        PluginError: they are not finite.
    """
    for name, selection in selections(loss, pairs):
        with case(name):
            value = value_of(loss, pairs, selection)
            require_finite("the value", value)
            for what, gradient in gradients(loss, leaf, value).items():
                if gradient is not None:
                    require_finite(f"the gradient of {what}", gradient)
