"""Statistics over seeds: what the mean of a few values is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import mean, stdev

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

    Sums are exact, so the order of the values does not matter and equal values have width 0.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.

    Raises:
        DataError: there is no value.
    """
    if not values:
        raise DataError("There is no mean of no values: no seed has finished.")
    n = len(values)
    half_width = _quantile(n - 1) * stdev(values) / n**0.5 if n > 1 else None
    return Estimate(mean(values), half_width, n)


@lru_cache
def _quantile(degrees_of_freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom))
