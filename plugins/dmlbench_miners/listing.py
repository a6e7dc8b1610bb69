"""Lists of triplets that are too many to try all at once, made in parts of limited memory."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dmlbench import Pairs, Triplets

_SMALL = 2**18  # Numbers that fit the cache: in smaller parts, the calls would cost the time.


def places_of(mask: Tensor) -> Tensor:
    """Return where the flattened mask is true ``[T]`` (int64), in order."""
    if mask.is_cpu:  # 8 times as fast as torch's own
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero().flatten()


def list_triplets(pairs: Pairs, choose: Callable[[Tensor, Tensor], Tensor]) -> Triplets:
    """Return the triplets of every positive pair with its chosen negatives.

    Some positive pairs at a time meet all references, B of them or as many as make a megabyte or
    so, and memory stays at ``[B, M]`` besides the list.

    Args:
        pairs: the step's pairs.
        choose: called with anchors and positives of n pairs, each ``[n]``; says by a mask
            ``[n, M]`` which references to take as negatives.

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
