"""The difference of two rows, seed by seed."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dmlbench.statistics.intervals import CONFIDENCE, Estimate, estimate
from dmlbench.statistics.same_step import same_step, sign_test


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate | None:
    """Return the mean of `first` minus `second` over their common seeds, with its 95 % interval.

    What a seed does to both (the same initial weights, the same batches) cancels out. The interval
    is that of the paired t-test, for one difference chosen before anybody saw the values: for the
    rows of a table, use `compare`. Where the difference is the same at every seed, though seeds
    change the values, fewer than six seeds give no interval (see `dmlbench.statistics.same_step`).

    Args:
        first: the value for each seed.
        second: the value for each seed.

    Returns:
        None if they have no seed in common.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.

    Example:
        >>> paired_difference({0: 0.75, 1: 0.75, 2: 0.25}, {0: 0.5, 1: 0.5, 5: 0.9})
        Estimate(mean=0.25, half_width=0.0, n=2)
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    sides = np.array([[side[seed] for seed in common] for side in (first, second)])
    found = estimate((sides[0] - sides[1]).tolist())
    few = sign_test(len(common)) >= 1 - CONFIDENCE
    return replace(found, half_width=None) if few and same_step(sides)[0, 1] else found
