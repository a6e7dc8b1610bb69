"""Lists of triplets, made in parts: trying all triplets at once would take too much memory."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dmlbench import Pairs, Triplets

_SMALL = 2**18  # Numbers that fit the cache; with smaller parts, calls would dominate the time.


def places_of(mask: Tensor, count: int | None = None) -> Tensor:
    """Return where the flattened mask is true ``[T]`` (int64), in order.

    Args:
        mask: of any shape.
        count: how many entries are true, where that is known: a GPU then needn't be waited for.
    """
    if mask.is_cpu:  # 8 times as fast as torch's own
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    if count is None:
        return mask.flatten().nonzero().flatten()
    nth = torch.arange(count, device=mask.device)
    return torch.searchsorted(mask.flatten().cumsum(0), nth, right=True)


def list_triplets(pairs: Pairs, choose: Callable[[Tensor, Tensor], Tensor]) -> Triplets:
    """Return the triplets of every positive pair with its chosen negatives.

    A few positive pairs at a time are compared with all references: B of them, or as many as make
    about a megabyte. Memory beyond the list stays at ``[B, M]``.

    Args:
        pairs: the step's pairs.
        choose: called with anchors and positives of n pairs, each ``[n]``; returns which
            references to take as negatives, a mask ``[n, M]``.

    Returns:
        The triplets in the order of anchor, positive and negative.
    """
    width = len(pairs.references)
    places = places_of(pairs.positive)
    anchor = places // width
    positive = places - width * anchor
    part = max(len(pairs), _SMALL // width)
    counts, found = [], []
    for start in range(0, max(len(places), 1), part):
        here = slice(start, start + part)
        chosen = choose(anchor[here], positive[here])
        counts.append(chosen.sum(1))
        found.append(places_of(chosen).add_(start * width))
    pair = torch.repeat_interleave(torch.cat(counts))
    negative = torch.cat(found)
    found.clear()
    negative.sub_(pair, alpha=width)
    return Triplets(anchor.index_select(0, pair), positive.index_select(0, pair), negative)
