"""The furthest and the nearest of each anchor's chosen pairs: what the hard miners share.

A value that is NaN counts as both, so that a loss sees it rather than a smaller batch.
"""

import torch
from torch import Tensor


def furthest(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's largest masked value ``[B]``, minus infinity if none, and its column."""
    value, column = values.masked_fill(~mask, -torch.inf).max(1)
    return value, column


def nearest(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's smallest masked value ``[B]``, infinity if none, and its column."""
    value, column = values.masked_fill(~mask, torch.inf).min(1)
    return value, column


def exists(extreme: Tensor) -> Tensor:
    """Return where `furthest` or `nearest` had a pair to choose from ``[B]``."""
    return ~extreme.isinf()


def only(column: Tensor, extreme: Tensor, mask: Tensor) -> Tensor:
    """Return a mask of the shape of `mask`: of each row its `column`, if the extreme exists."""
    return torch.zeros_like(mask).scatter_(1, column[:, None], exists(extreme)[:, None])
