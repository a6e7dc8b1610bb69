"""Draws by whole numbers: exact, the same on every device, and none falls beyond the last."""

import torch
from torch import Tensor

from dmlbench import Triplets
from dmlbench_miners.listing import places_of


def draw(up_to: Tensor, count: int) -> Tensor:
    """Return `count` columns of each row ``[B, count]``, with replacement.

    The draw comes from torch's global generator of the tensor's device.

    Args:
        up_to: running sums of the columns' weights ``[B, M]`` (int64); what is drawn of a row
            whose sum is 0 means nothing.
        count: draws a row.
    """
    shape = (len(up_to), count)
    # An integer draw can't round up to the sum, and its modulo bias is below 1e-9.
    drawn = torch.randint(2**62, shape, device=up_to.device) % up_to[:, -1:].clamp_min(1)
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
