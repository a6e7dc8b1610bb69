"""Batches that a loss or a miner may see in training, ordinary and odd ones."""

from typing import NamedTuple

import torch
from torch import Tensor

from dmlbench.contracts.pairs import Pairs
from dmlbench.testing.subject import EMBEDDING_DIM


class Batch(NamedTuple):
    """Embeddings as a network outputs them ``[B, D]``, of any length, and class ids ``[B]``."""

    embeddings: Tensor
    labels: Tensor

    @classmethod
    def random(
        cls, items: int, classes: int, dim: int = EMBEDDING_DIM, *, seed: int = 0
    ) -> "Batch":
        """Return random embeddings of classes that take turns."""
        generator = torch.Generator().manual_seed(seed)
        return cls(torch.randn(items, dim, generator=generator), torch.arange(items) % classes)

    def double(self) -> "Batch":
        """Return the batch in float64."""
        return Batch(self.embeddings.double(), self.labels)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on `device`."""
        return Batch(self.embeddings.to(device), self.labels.to(device))

    def repeat(self, views: int) -> "Batch":
        """Return the batch with `views` equal views of each item, all first views first."""
        return Batch(self.embeddings.repeat(views, 1), self.labels.repeat(views))


def _odd(embeddings: Tensor, labels: list[int]) -> Batch:
    return Batch(embeddings, torch.tensor(labels))


_AXES = torch.eye(EMBEDDING_DIM)
_ONES = torch.ones(6, EMBEDDING_DIM)
ORDINARY = Batch.random(12, 4)
ODD = {
    "identical embeddings": _odd(_ONES, [0, 0, 1, 1, 2, 2]),
    "one class": _odd(Batch.random(6, 1, seed=1).embeddings, [3] * 6),
    "one class, identical": _odd(_ONES, [2] * 6),
    "no positives": _odd(Batch.random(6, 1, seed=2).embeddings, [*range(6)]),
    "one item": _odd(_ONES[:1], [0]),
    "opposite embeddings": _odd(torch.cat([_AXES, -_AXES]), [0, 1, 2, 3] * 2),
    "opposite classes": _odd(torch.cat([_AXES[:1]] * 3 + [-_AXES[:1]] * 3), [0, 0, 0, 1, 1, 1]),
    "duplicates across classes": _odd(torch.cat([_AXES, _AXES]), [0, 0, 1, 1, 2, 2, 3, 3]),
    "zero vectors": _odd(torch.zeros(4, EMBEDDING_DIM), [0, 0, 1, 1]),
}
"""Batches where a formula may divide by zero, take the root of zero or find nothing."""


class Memory(NamedTuple):
    """References from earlier batches ``[M, D]``, without gradient, and their class ids ``[M]``."""

    references: Tensor
    labels: Tensor


def shared_tensors(pairs: Pairs) -> dict[str, Tensor]:
    """Return all tensors of `pairs`, which its users share, by name."""
    return {f"pairs.{name}": getattr(pairs, name).detach() for name in _SHARED}


_SHARED = (
    *("anchors", "labels", "references", "reference_labels", "self_index"),
    *("similarity", "squared_distance", "distance", "positive", "negative"),
)
