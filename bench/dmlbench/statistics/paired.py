"""The difference of two rows, seed by seed."""

from collections.abc import Mapping

from dmlbench.statistics.intervals import Estimate, estimate


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate | None:
    """Return the mean of `first` minus `second` over their common seeds, with its 95 % interval.

    What a seed does to both (the same initial weights, the same batches) cancels out. The interval
    is that of the paired t-test, for one difference chosen before anybody saw the values: for the
    rows of a table, use `compare`.

    Args:
        first: the value for each seed.
        second: the value for each seed.

    Returns:
        None if they have no seed in common.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.

    Example:
        >>> found = paired_difference({0: 0.75, 1: 0.50, 2: 0.25}, {0: 0.5, 1: 0.25, 5: 0.9})
        >>> found
        Estimate(mean=0.25, half_width=0.0, n=2)
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    return estimate([first[seed] - second[seed] for seed in common])
