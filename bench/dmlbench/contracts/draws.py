"""Random whole numbers that move no further than their bounds do."""

import torch
from torch import Tensor


def draw_below(totals: Tensor) -> Tensor:
    """Return a random whole number for each total: 0 or more, below the total, all equally likely.

    If a total moves by 1, its draw moves by at most 1. A remainder such as ``randint(2**62) %
    total`` would be an unrelated number, and two machines that sum to other last digits would draw
    unrelated items. The random numbers come from torch's global generator of the CPU: they are the
    same wherever the totals are.

        >>> _ = torch.manual_seed(0)
        >>> draw_below(torch.tensor([1, 6, 1000])).tolist()
        [0, 4, 459]

    Args:
        totals: whole numbers (int64) of any shape, below 2^53; the draw below 0 or less is 0.
    """
    shares = torch.rand(totals.shape, dtype=torch.float64, device="cpu")
    return floor_of_share(shares.to(totals.device), totals)


def floor_of_share(shares: Tensor, totals: Tensor) -> Tensor:
    """Return the whole part of a share of each total, below the total for shares in [0, 1).

    The largest share is 2^-53 below 1, so an exact product is half a unit in the last place below
    the total or more. Just half is only a power of two's, which is a number: nothing rounds up.

    Args:
        shares: float64, of the shape of the totals.
        totals: whole numbers (int64), below 2^53; 0 or less counts as 1.
    """
    return (shares * totals.clamp_min(1)).long()
