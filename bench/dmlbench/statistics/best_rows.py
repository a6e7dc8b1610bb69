r"""Which rows are worse than the best, when all of them ran with the same seeds.

In rounds: row i is worse if some row j beats it by more than chance in the seeds explains,

.. math:: \bar y_j - \bar y_i > c \cdot \mathrm{SE}_{ij}, \qquad
    c = q_{0.95}(K, \nu) / \sqrt 2, \qquad \nu = \lfloor \min(4, K / 2) (n - 1) \rfloor

with K rows, n seeds and q the studentized range (Tukey). The worse rows leave, and the others are
compared again without them, until none leaves: a model confidence set. Who stays can't be told from
the best. Two rows that are left are compared by the two-sided paired t-test.

The promise: in at most 5 of 100 tables is any row that is truly the best, alone or with others,
called worse. Hsu's comparisons with the best promise less: that one best row, fixed beforehand, is
kept. Where all are equally good, his one-sided Dunnett value calls some of them worse in three of
ten tables of 10 rows, and in six of ten of 35 rows (docs/measurements/ranking-errors.md). To keep
all of them takes the range of all rows, and so Tukey's value.

Our choice, where the books assume that all rows are equally noisy:

- the standard error is the largest of three: from the variance pooled over the rows (as Tukey has
  it), from the two rows' own variances, both without what a seed does to all rows, and from the
  paired differences of the two. The first alone is wrong as soon as one row is noisier than the
  others; the last two alone have so few degrees of freedom that among 35 rows some are small by
  chance;
- Tukey has (K - 1)(n - 1) degrees of freedom; we take fewer, so that the promise also holds for
  unequal noise. Both were chosen by simulation, which is in the documentation; no theorem gives
  them. A very noisy row makes the comparisons of all others more careful, until it leaves.

Sources: Tukey, The Problem of Multiple Comparisons, 1953; Hsu, Simultaneous Confidence Intervals
for all Distances from the "Best", Annals of Statistics 1981; Hansen, Lunde, Nason, The Model
Confidence Set, Econometrica 2011.
"""

from dataclasses import dataclass
from functools import cache
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlbench.errors import DataError
from dmlbench.statistics.intervals import CONFIDENCE, Estimate

LEAST_SEEDS = 5
"""With fewer seeds no row is called worse than another."""

_ROUNDING = 1e-12
"""Differences of the means that are no differences."""


@dataclass(frozen=True)
class Comparison:
    """Rows compared with the best of them."""

    worse: tuple[bool, ...]
    """Whether each row is worse than the best; the others can't be told from it."""
    behind: tuple[Estimate, ...]
    """By how much each row is behind the highest mean, with what chance explains in the round
    that decided the row: a 95 % interval for all pairs of that round at once."""
    detectable: float | None
    """The difference of two means from which rows of ordinary noise are told apart, among those
    of the last round; None if no difference would be, or if there are no two rows."""


def compare(values: NDArray[Any], between: NDArray[Any] | None = None) -> Comparison:
    """Return which of the rows `values` ``[K, n]`` (row by seed, finite) are worse than the best.

    Args:
        values: one value of each row and seed.
        between: variance ``[K, K]`` that each difference has besides that of the seeds: that of
            the test classes, where the claim is to hold for others too.

    Raises:
        DataError: there is no row or no seed, or a value is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise DataError("Only rows of finite values with the same seeds can be compared.")
    rows, seeds = values.shape
    means = values.mean(axis=1)
    best = int(means.argmax())
    worse, widths = np.zeros(rows, dtype=bool), np.zeros(rows)
    least = None
    while seeds > 1 and (stay := np.flatnonzero(~worse)).size > 1:
        besides = None if between is None else between[np.ix_(stay, stay)]
        lost, width, told = _round(values[stay], besides)
        widths[stay] = width[:, int(means[stay].argmax())]
        if seeds < LEAST_SEEDS:
            break
        worse[stay], least = lost, told
        if not lost.any():
            break
    behind = [
        Estimate(gap, width if seeds > 1 else None, seeds)
        for gap, width in zip((means[best] - means).tolist(), widths.tolist(), strict=True)
    ]
    return Comparison(tuple(worse.tolist()), tuple(behind), least)


def _round(
    values: NDArray[Any], between: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Return which rows lose to any, what chance explains ``[K, K]``, and for ordinary noise."""
    rows, seeds = values.shape
    means, critical = values.mean(axis=1), critical_value(rows, seeds)
    besides = np.zeros((rows, rows)) if between is None else between
    widths = critical * np.sqrt(standard_errors(values) ** 2 + besides)
    np.fill_diagonal(widths, 0.0)
    lead = means[None, :] - means[:, None]  # [i, j]: by how much j is ahead of i
    lost = (lead > np.maximum(widths, _ROUNDING)).any(axis=1)
    ordinary = 2 * variances(values).mean() / seeds + besides.sum() / (rows * (rows - 1))
    return lost, widths, critical * sqrt(ordinary)


def variances(values: NDArray[Any]) -> NDArray[Any]:
    """Return the variance ``[..., K]`` of each of the rows ``[..., K, n]`` between seeds.

    What a seed does to all rows is taken out. Their mean is the residual mean square of the two-way
    layout.
    """
    rows, seeds = values.shape[-2:]
    scale = rows / (rows - 1) / (seeds - 1)
    result: NDArray[Any] = (_residuals(values) ** 2).sum(axis=-1) * scale
    return result


def standard_errors(values: NDArray[Any]) -> NDArray[Any]:
    """Return the standard error ``[..., K, K]`` of each difference of rows ``[..., K, n]``."""
    seeds = values.shape[-1]
    own, residuals = variances(values), _residuals(values)
    products = residuals @ residuals.swapaxes(-1, -2) / (seeds - 1)
    squares = np.diagonal(products, axis1=-2, axis2=-1)
    paired = squares[..., :, None] + squares[..., None, :] - 2 * products
    apart = own[..., :, None] + own[..., None, :]
    pooled = 2 * own.mean(axis=-1)[..., None, None]
    result: NDArray[Any] = np.sqrt(np.maximum(np.maximum(paired, apart), pooled) / seeds)
    return result


@cache
def critical_value(rows: int, seeds: int) -> float:
    """Return how many standard errors a difference must be, among `rows` with `seeds` each."""
    from scipy.optimize import root_scalar
    from scipy.stats import studentized_range, t

    alpha = 1 - CONFIDENCE
    freedom = int(min(4, rows / 2) * (seeds - 1))
    above = float(t.isf(alpha / rows / (rows - 1), freedom)) * sqrt(2)  # Bonferroni's
    found = root_scalar(  # half the time of scipy's own quantile
        lambda value: log(studentized_range.sf(value, rows, freedom) / alpha),
        x0=above,
        x1=0.9 * above,
        xtol=1e-10,
    )
    return float(found.root) / sqrt(2)


def _residuals(values: NDArray[Any]) -> NDArray[Any]:
    noise = values - values.mean(axis=-1, keepdims=True)
    result: NDArray[Any] = noise - noise.mean(axis=-2, keepdims=True)
    return result
