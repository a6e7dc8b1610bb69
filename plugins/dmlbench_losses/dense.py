"""Fast passes over all pairs ``[B, M]``, which dominate the cost of a loss's step."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dmlbench import Pairs


def as_numbers(mask: Tensor, like: Tensor) -> Tensor:
    """Return 1 where `mask` is true and 0 elsewhere, of the type of `like`."""
    return mask.view(torch.uint8).to(like.dtype)  # on CPUs 6 times as fast as from bool


def is_above(values: Tensor, bound: Tensor | float) -> Tensor:
    """Return 1 where a value is above the bound and 0 elsewhere; call it without gradient."""
    return torch.gt(values, bound, out=torch.empty_like(values))


def is_below(values: Tensor, bound: Tensor | float) -> Tensor:
    """Return 1 where a value is below the bound and 0 elsewhere; call it without gradient."""
    return torch.lt(values, bound, out=torch.empty_like(values))


def without_duplicates(mask: Tensor, pairs: Pairs) -> Tensor:
    """Return the pairs of `mask` ``[B, M]`` except those of two equal embeddings.

    A distance computed from a product can't tell: rounding puts it on either side of 0. Only rows
    whose first entry equals that of another reference are compared.
    """
    anchors, references = pairs.anchors.detach(), pairs.references.detach()
    first, others = anchors[:, 0].contiguous(), references[:, 0].sort().values
    alike = torch.searchsorted(others, first, right=True) - torch.searchsorted(others, first)
    (near,) = (alike > (pairs.self_index >= 0)).nonzero(as_tuple=True)
    if not len(near):
        return mask
    place, column = (mask[near] & (first[near, None] == references[:, 0])).nonzero(as_tuple=True)
    row = near[place]
    parts = zip(row.split(len(pairs)), column.split(len(pairs)), strict=True)
    differ = torch.cat([(anchors[r] != references[c]).any(1) for r, c in parts])
    return mask.index_put((row, column), differ)


def weighted_distance(pairs: Pairs, weight: Tensor) -> Tensor:
    """Return the sum of all distances times their weights ``[B, M]``, a scalar.

    The gradient flows to distances only. NaN counts whatever its weight.
    """
    if not pairs.normalized:
        return (weight * pairs.distance).sum()
    total: Tensor = _WeightedDistance.apply(pairs.similarity, pairs.distance.detach(), weight)
    return total


class _WeightedDistance(torch.autograd.Function):
    """Backpropagates d = sqrt(2 - 2 s), whose slope is -1 / d, to the similarity s in one pass."""

    @staticmethod
    def forward(ctx: Any, similarity: Tensor, distance: Tensor, weight: Tensor) -> Tensor:
        at_zero = distance.new_full((), 1e-12).sqrt()  # the lowest of `Pairs`, with slope 0
        ctx.save_for_backward(is_above(distance, at_zero).mul_(weight).div_(-distance))
        return (weight * distance).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * gradient, None, None
