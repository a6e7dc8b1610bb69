"""What the mean of a few values is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import fsum, sqrt
from statistics import fmean

from dmlbench.errors import DataError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its Student-t 95 % interval, ``mean - half_width`` to ``mean + …``."""

    mean: float
    half_width: float | None
    """None for a single value: it has no interval."""
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of `values` ``[n]`` and half the width of its 95 % interval.

    Sums are rounded once, so the order of the values does not matter. Equal values have width 0.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.

    Raises:
        DataError: there is no value.
    """
    if not values:
        raise DataError("There is no mean of no values: no seed has finished.")
    n = len(values)
    if n == 1:
        return Estimate(values[0], None, 1)
    if min(values) == max(values):  # rounding could make their mean another number
        return Estimate(values[0], 0.0, n)
    mean = fmean(values)
    variance = fsum((value - mean) ** 2 for value in values) / (n - 1)
    return Estimate(mean, quantile(n - 1) * sqrt(variance / n), n)


@lru_cache(maxsize=1024)
def quantile(degrees_of_freedom: float) -> float:
    """Return half the width of Student's 95 % interval in standard errors."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom))
