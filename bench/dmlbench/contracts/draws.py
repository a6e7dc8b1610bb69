"""Random choices that hardly move when what is chosen from hardly moves."""

import torch
from torch import Tensor


def draw_below(totals: Tensor) -> Tensor:
    """Return a random whole number for each total: 0 or more, below the total, all equally likely.

    If a total moves by 1, its draw moves by at most 1. A remainder such as ``randint(2**62) %
    total`` would be an unrelated number, and two machines that sum to other last digits would draw
    unrelated items.

        >>> _ = torch.manual_seed(0)
        >>> draw_below(torch.tensor([1, 6, 1000])).tolist()
        [0, 5, 193]

    Args:
        totals: whole numbers (int64) of any shape, below 2^53; the draw below 0 or less is 0.
    """
    return floor_of_share(random_shares(totals.shape, totals.device), totals)


def random_shares(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return random numbers in [0, 1), float64 of that shape, the same on every device.

    Whatever the shape, a call takes one number from torch's global generator of the CPU. So a list
    that is an item longer on another machine leaves all later draws of the trial as they are.

        >>> _ = torch.manual_seed(0)
        >>> random_shares((2,), torch.device("cpu"))
        tensor([0.2571, 0.9103], dtype=torch.float64)
    """
    seed = int(torch.randint(2**62, (), device="cpu"))
    generator = torch.Generator("cpu").manual_seed(seed)
    pinned = device.type == "cuda"  # only copies from pinned memory leave the CPU free to go on
    shares = torch.rand(
        shape, dtype=torch.float64, device="cpu", pin_memory=pinned, generator=generator
    )
    return shares.to(device, non_blocking=True)


def floor_of_share(shares: Tensor, totals: Tensor) -> Tensor:
    """Return the whole part of a share of each total, below the total for shares in [0, 1).

    The largest share is 2^-53 below 1, so an exact product is half a unit in the last place below
    the total or more. Just half is only a power of two's, which is a number: nothing rounds up.

    Args:
        shares: float64, of the shape of the totals.
        totals: whole numbers (int64), below 2^53; 0 or less counts as 1.
    """
    return (shares * totals.clamp_min(1)).long()
