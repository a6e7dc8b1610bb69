"""Draws by running sums of whole numbers: exact, and the same on every device."""

import torch
from torch import Tensor

from dmlbench import Triplets, draw_below
from dmlbench_miners.listing import places_of


def draw(up_to: Tensor, count: int) -> Tensor:
    """Return `count` columns of each row ``[B, count]``, with replacement.

    The draw comes from torch's global generator of the CPU. It changes only if the part of the
    row's sum that it falls on now belongs to another column.

    Args:
        up_to: running sums of the columns' weights ``[B, M]`` (int64); draws from a row whose sum
            is 0 are meaningless.
        count: draws per row.
    """
    drawn = draw_below(up_to[:, -1:].expand(-1, count))
    return torch.searchsorted(up_to, drawn, right=True)


def one_for_each(positive: Tensor, up_to: Tensor) -> Triplets:
    """Return a triplet for every true entry of `positive` ``[B, M]``, in order, as `draw` does."""
    places = places_of(positive)
    anchor = places // positive.shape[1]
    of_anchor = anchor.bincount(minlength=len(positive))
    first = of_anchor.cumsum(0) - of_anchor
    nth = torch.arange(len(anchor), device=anchor.device) - first[anchor]
    negative = draw(up_to, int(of_anchor.max()))[anchor, nth]
    return Triplets(anchor, places - positive.shape[1] * anchor, negative)
