"""The mean of a few values, and how precisely they determine it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import fsum, sqrt
from statistics import fmean

from dmlbench.errors import DataError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its Student-t 95 % interval, ``mean`` ± ``half_width``."""

    mean: float
    half_width: float | None
    """None if there is no interval: for a single value, and for a difference that is the same at
    too few seeds (see `same_step`)."""
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of `values` ``[n]`` and the half-width of its 95 % interval.

    Sums are rounded once, so the order of the values does not matter. Equal values have width 0.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.

    Raises:
        DataError: there is no value.

    Example:
        >>> found = estimate([0.4, 0.5, 0.6])
        >>> round(found.mean, 3), round(found.half_width, 3), found.n
        (0.5, 0.248, 3)
    """
    if not values:
        raise DataError("There are no values to average: no seed has finished.")
    n = len(values)
    if n == 1:
        return Estimate(values[0], None, 1)
    if min(values) == max(values):  # rounding could make their mean a different number
        return Estimate(values[0], 0.0, n)
    mean = fmean(values)
    variance = fsum((value - mean) * (value - mean) for value in values) / (n - 1)
    return Estimate(mean, quantile(n - 1) * sqrt(variance / n), n)


@lru_cache(maxsize=1024)
def quantile(degrees_of_freedom: float) -> float:
    """Return the half-width of Student's 95 % interval, in standard errors."""
    from scipy.stats import t

    return as_tabled(float(t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom)))


def as_tabled(quantile: float) -> float:
    """Return a quantile to nine significant digits, more than any printed table has.

    The digits that a numerical library gives beyond differ between its versions and processors.
    """
    return float(f"{quantile:.9g}")
