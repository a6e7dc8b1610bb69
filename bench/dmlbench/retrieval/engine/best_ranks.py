"""Ranks of the positives that rank high enough to matter, from sorted positives and negatives.

The j-th best positive has rank d or better exactly if it ranks above the (d - j + 1)-th best
negative. So comparing two sorted rows once gives the number of such positives, and only these are
looked up, among the few negatives that can precede them.
"""

from typing import NamedTuple

import numpy as np


class Ranked(NamedTuple):
    """Positives of all rows; within a row, the best comes last."""

    row: np.ndarray
    """The row each belongs to."""
    place: np.ndarray
    """j of the j-th best positive of its row, counted from 1."""
    rank: np.ndarray
    """j plus the negatives at least as similar minus the tolerance."""


def best_ranks(positive: np.ndarray, negative: np.ndarray, tolerance: float, depth: int) -> Ranked:
    """Return the positives of rank `depth` or better. Both arrays are sorted in place.

    Args:
        positive: all similarities of each row's positives ``[n, P]``, padded with -inf.
        negative: at least the `depth` largest similarities of its negatives ``[n, K]``, padded
            with -inf; fewer only if K is the number of all columns, with positives as -inf.
        tolerance: see `thresholds`.
        depth: the last rank that matters.
    """
    positive.sort(axis=1)
    negative.sort(axis=1)
    least, above = positive.astype(np.float64), negative.astype(np.float64)
    least -= tolerance
    width, kept = least.shape[1], above.shape[1]
    depth = min(depth, kept)
    compared = min(width, depth)
    rival = above[:, kept - depth : kept - depth + compared][:, ::-1]
    ranked = (least[:, width - compared :] > rival).sum(axis=1)
    below = [
        negatives[kept - depth + count :].searchsorted(positives[width - count :])
        for positives, negatives, count in zip(least, above, ranked.tolist(), strict=True)
    ]
    row = np.repeat(np.arange(len(ranked)), ranked)
    place = np.cumsum(ranked)[row] - np.arange(len(row))
    return Ranked(row, place, place + (depth - ranked)[row] - np.concatenate(below))
