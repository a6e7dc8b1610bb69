"""The difference of two rows, seed by seed."""

from collections.abc import Mapping

from dmlbench.statistics.intervals import Estimate, estimate


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate | None:
    """Return the mean of `first` minus `second` over their common seeds, with its 95 % interval.

    What a seed does to both (the same initial weights, the same batches) cancels. The interval is
    that of the paired t-test, for one difference that was chosen before anybody saw the figures:
    among the rows of a table, `compare` is the one to use.

    Args:
        first: value of each seed.
        second: value of each seed.

    Returns:
        None if they have no seed in common.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    return estimate([first[seed] - second[seed] for seed in common])
