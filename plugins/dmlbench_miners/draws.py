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
    of_anchor = positive.sum(1)
    # One read for both numbers: a list of unknown length would make the CPU wait for a GPU again.
    count, most = torch.stack([of_anchor.sum(), of_anchor.max()]).tolist()
    places = places_of(positive, count)
    anchor = places // positive.shape[1]
    first = of_anchor.cumsum(0) - of_anchor
    nth = torch.arange(count, device=anchor.device) - first[anchor]
    negative = draw(up_to, most)[anchor, nth]
    return Triplets(anchor, places - positive.shape[1] * anchor, negative)
