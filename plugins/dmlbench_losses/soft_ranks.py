r"""Soft ranks: how many references come before each positive, as a smooth function.

.. math:: n_{ap}(S) = \sum_{j \in S_a} h(s_{aj} - s_{ap})

for each anchor a, each of its positives p and a set of references :math:`S_a`, with a step
function h such as a sigmoid. Smooth-AP, the recall@k surrogate and ROADMAP are made of these
counts; they differ in h and in how they use the counts.

How it is computed: all differences at once would be a tensor of B P M entries. Here a block of
positive pairs at a time goes through the processor's cache and only the sums are kept; the
gradient computes the differences again. Memory O(B M), however large P is; time O(B P M).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_DIFFERENCES_IN_A_BLOCK = 2**17
# Beyond it a sigmoid is below the rounding of a rank, and soon a denormal number, which is slow.
_LOWEST_EXPONENT = -40


class Step(NamedTuple):
    """A step function and its slope; either may overwrite its argument."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


def sigmoid_step(temperature: float) -> Step:
    """Return the step :math:`1 / (1 + e^{-x / T})`."""

    def value(differences: Tensor) -> Tensor:
        return differences.div_(temperature).clamp_min_(_LOWEST_EXPONENT).sigmoid_()

    def slope(differences: Tensor) -> Tensor:
        high = value(differences)
        return (high - high.square()).div_(temperature)

    return Step(value, slope)


def count_before(
    similarity: Tensor, anchor: Tensor, positive: Tensor, sets: Sequence[Tensor], step: Step
) -> Tensor:
    """Return for each set the soft count of its members before each positive, ``[S, T]``.

    A positive that is in a set itself counts there as ``step(0)``, without a gradient.

    Args:
        similarity: ``[B, M]``.
        anchor: of the positive pairs, rows of `similarity` ``[T]``.
        positive: of the positive pairs, columns of `similarity` ``[T]``.
        sets: S boolean masks ``[B, M]``.
        step: the step function h.
    """
    members = [chosen.to(similarity.dtype) for chosen in sets]
    counts: Tensor = _CountBefore.apply(similarity, anchor, positive, step, *members)
    return counts


class _CountBefore(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        similarity: Tensor,
        anchor: Tensor,
        positive: Tensor,
        step: Step,
        *sets: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(similarity, anchor, positive, *sets)
        ctx.step = step
        counts = similarity.new_empty(len(sets), len(anchor))
        for block, row, differences in _blocks(similarity, anchor, positive):
            values = step.value(differences)
            for count, members in zip(counts, sets, strict=True):
                count[block] = torch.linalg.vecdot(values, members[row])
        return counts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        similarity, anchor, positive, *sets = ctx.saved_tensors
        total = torch.zeros_like(similarity)
        for block, row, differences in _blocks(similarity, anchor, positive):
            change = sum(
                members[row].mul_(share[block, None])
                for share, members in zip(gradient, sets, strict=True)
            )
            change *= ctx.step.slope(differences)
            total.index_add_(0, row, change)
            total.index_put_((row, positive[block]), -change.sum(1), accumulate=True)
        return total, None, None, None, *[None] * len(sets)


def _blocks(
    similarity: Tensor, anchor: Tensor, positive: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield slices of the positive pairs, their rows, and their differences ``[rows, M]``."""
    own = similarity[anchor, positive]
    rows, columns = similarity.shape
    size = min(rows, max(1, _DIFFERENCES_IN_A_BLOCK // max(1, columns)))
    for start in range(0, len(anchor), size):
        block = slice(start, start + size)
        row = anchor[block]
        yield block, row, similarity[row].sub_(own[block, None])
