"""A batch through the backbone and back: at once, or chunk by chunk with cached gradients.

Gradient caching (Gao, Zhang, Han, Callan, Scaling Deep Contrastive Learning Batch Size under Memory
Limited Setup, RepL4NLP 2021, arXiv 2101.06983) needs the memory of one chunk, whatever the batch: a
first pass keeps the features alone; the objective of the whole batch gives their gradient; a second
pass makes each chunk's features again, by the same random numbers, and takes their part of the
gradient back through the network. The sum over the chunks is the gradient of the whole batch.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from dmlbench.compute.determinism import random_states, set_random_states
from dmlbench.compute.precision import backward_in
from dmlbench.errors import ConfigError
from dmlbench.training.embedder import Embedder


class Passed(Protocol):
    """A batch that has passed through a backbone.

    Attributes:
        features: of all its images ``[B, F]`` float32.
        learns: whether the backbone wants their gradient.
    """

    features: Tensor
    learns: bool

    def backward(self, gradient: Tensor) -> None:
        """Add to the gradients of the backbone's weights what the features' ``[B, F]`` makes."""


def pass_through(model: Embedder, inputs: Iterator[Tensor], images: int) -> Passed:
    """Return a batch of so many `images` after the backbone.

    Args:
        model: in training mode.
        inputs: gives the batch: whole, or in chunks, and those again if the backbone learns.
        images: B.

    Raises:
        ConfigError: it comes in chunks, and a layer keeps count of what passes through it.
    """
    first = next(inputs)
    return (
        _AtOnce(model, first) if len(first) == images else _InChunks(model, first, inputs, images)
    )


class _AtOnce:
    def __init__(self, model: Embedder, batch: Tensor) -> None:
        self.features = model.features(batch)
        self.learns = self.features.requires_grad
        self._precision = model.precision

    def backward(self, gradient: Tensor) -> None:
        with backward_in(self._precision, gradient.device):
            self.features.backward(gradient)


class _InChunks:
    def __init__(
        self, model: Embedder, first: Tensor, inputs: Iterator[Tensor], images: int
    ) -> None:
        self._model, self._inputs = model, inputs
        self._states = []
        before = {name: buffer._version for name, buffer in model.named_buffers()}
        parts: list[Tensor] = []
        chunk, done = first, 0
        with torch.no_grad():
            while True:
                self._states.append(random_states(chunk.device))
                parts.append(model.features(chunk))
                done += len(chunk)
                if done == images:
                    break
                chunk = next(inputs)
        for name, buffer in model.named_buffers():
            if buffer._version != before.get(name):
                raise ConfigError(
                    f"Gradient caching (--chunk) can't train this network: {name} changes with "
                    "every batch that passes through it, and each passes twice. Leave --chunk out."
                )
        self.features = torch.cat(parts)
        self.learns = model.backbone_learns
        self._sizes = [len(part) for part in parts]

    def backward(self, gradient: Tensor) -> None:
        device = gradient.device
        after = random_states(device)
        for state, part in zip(self._states, gradient.split(self._sizes), strict=True):
            set_random_states(state, device)
            features = self._model.features(next(self._inputs))
            with backward_in(self._model.precision, device):
                features.backward(part)
        set_random_states(after, device)
