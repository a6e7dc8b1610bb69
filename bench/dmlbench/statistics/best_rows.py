r"""Which rows are worse than the best, when all of them ran with the same seeds.

Rows are compared in rounds: row i is worse if some row j beats it by more than seed noise explains,

.. math:: \bar y_j - \bar y_i > c \cdot \mathrm{SE}_{ij}, \qquad
    c = q_{0.95}(K, \nu) / \sqrt 2, \qquad \nu = \lfloor \min(4, K / 2) (n - 1) \rfloor

with K rows, n seeds and q the studentized range (Tukey). The worse rows drop out, and the others
are compared again without them, until none drops out: a model confidence set. The rows that remain
can't be told from the best. Two rows that remain are compared by the two-sided paired t-test.
Where two rows differ by the same step at every seed, the rule of `same_step` decides: the sign test
must agree, with Bonferroni's correction for all pairs of the round.

The guarantee: in at most 5 of 100 tables is any row that is truly the best, alone or with others,
called worse. Hsu's comparisons with the best guarantee less: that one best row, fixed beforehand,
is kept. Where all are equally good, his one-sided Dunnett value calls some worse in three of
ten tables of 10 rows, and in six of ten of 35 rows (docs/measurements/ranking-errors.md). To keep
all of them takes the range of all rows, and so Tukey's value.

Textbooks assume that all rows are equally noisy; we don't:

- the standard error is the largest of three: from the variance pooled over the rows (as in Tukey),
  from the two rows' own variances, both without what a seed does to all rows, and from the paired
  differences of the two. The first alone is wrong as soon as one row is noisier than the others;
  the last two alone have so few degrees of freedom that among 35 rows some are small by chance;
- Tukey has (K - 1)(n - 1) degrees of freedom; we use fewer, so that the guarantee also holds for
  unequal noise. Both choices come from simulations (see the documentation), not from a theorem. A
  very noisy row makes the comparisons of all others more conservative, until it drops out.

Sources: Tukey, The Problem of Multiple Comparisons, 1953; Hsu, Simultaneous Confidence Intervals
for all Distances from the "Best", Annals of Statistics 1981; Hansen, Lunde, Nason, The Model
Confidence Set, Econometrica 2011.
"""

from dataclasses import dataclass
from functools import cache
from math import isnan, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlbench.errors import DataError
from dmlbench.statistics.intervals import CONFIDENCE, Estimate, as_tabled
from dmlbench.statistics.same_step import rounding, same_step, sign_test

LEAST_SEEDS = 5
"""With fewer seeds no row is called worse than another."""

_EQUAL = 1 + 1e-9
"""A difference within this factor of a half-width counts as equal to it: the last bits, which may
depend on the processor, never decide."""


@dataclass(frozen=True)
class Comparison:
    """Rows compared with the best of them."""

    worse: tuple[bool, ...]
    """Whether each row is worse than the best; the others can't be told from it."""
    behind: tuple[Estimate, ...]
    """How far each row's mean is below the highest, with the half-width from the round that decided
    the row: a simultaneous 95 % interval for all pairs of that round. It has none where the two
    differ by the same step at too few seeds."""
    detectable: float | None
    """The smallest difference of two means that tells rows of ordinary noise apart, among those of
    the last round; None if no difference would, or if there are fewer than two rows."""


def compare(values: NDArray[Any], between: NDArray[Any] | None = None) -> Comparison:
    """Return which of the rows `values` ``[K, n]`` (row by seed, finite) are worse than the best.

    Args:
        values: one value per row and seed.
        between: variance ``[K, K]`` to add to that of the seeds for each difference: that of the
            test classes, where the claim is to hold for other classes too.

    Raises:
        DataError: there is no row or no seed, or a value is not finite.

    Example:
        >>> good = np.array([0.81, 0.83, 0.82, 0.80, 0.84])
        >>> values = np.stack([good, good + [-0.01, 0.01, 0, 0.01, -0.01], good - 0.2])  # [K, n]
        >>> found = compare(values)
        >>> found.worse
        (False, False, True)
        >>> round(found.behind[2].mean, 3)
        0.2
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
        lost, width, detectable = _compare_once(values[stay], besides)
        widths[stay] = width[:, int(means[stay].argmax())]
        if seeds < LEAST_SEEDS:
            break
        worse[stay], least = lost, detectable
        if not lost.any():
            break
    behind = [
        Estimate(gap, None if seeds == 1 or isnan(width) else width, seeds)
        for gap, width in zip((means[best] - means).tolist(), widths.tolist(), strict=True)
    ]
    return Comparison(tuple(worse.tolist()), tuple(behind), least)


def _compare_once(
    values: NDArray[Any], between: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any], float | None]:
    """Return which rows lose to any, the half-widths ``[K, K]``, and that for ordinary noise.

    Where a pair differs by the same step at too few seeds, the half-width is NaN.
    """
    rows, seeds = values.shape
    means, critical = values.mean(axis=1), critical_value(rows, seeds)
    besides = np.zeros((rows, rows)) if between is None else between
    pairs = rows * (rows - 1)
    widths = critical * np.sqrt(standard_errors(values) ** 2 + besides)
    if sign_test(seeds) * pairs / 2 >= 1 - CONFIDENCE:
        widths[same_step(values)] = np.nan
    np.fill_diagonal(widths, 0.0)
    lead = means[None, :] - means[:, None]  # [i, j]: by how much j is ahead of i
    lost = ((lead > rounding(values)) & (lead > _EQUAL * widths)).any(axis=1)
    if np.isnan(widths).sum() == pairs:
        return lost, widths, None
    ordinary = 2 * variances(values).mean() / seeds + besides.sum() / pairs
    return lost, widths, critical * sqrt(ordinary)


def variances(values: NDArray[Any]) -> NDArray[Any]:
    """Return the variance ``[..., K]`` of each of the rows ``[..., K, n]`` between seeds.

    What a seed does to all rows is removed. Their mean is the residual mean square of the two-way
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
    paired = np.zeros((*own.shape, own.shape[-1]))
    for place in range(seeds):  # seed by seed: a matrix product would round as the processor likes
        seed = residuals[..., place]
        paired += (seed[..., :, None] - seed[..., None, :]) ** 2
    paired /= seeds - 1
    apart = own[..., :, None] + own[..., None, :]
    pooled = 2 * own.mean(axis=-1)[..., None, None]
    result: NDArray[Any] = np.sqrt(np.maximum(np.maximum(paired, apart), pooled) / seeds)
    return result


@cache
def critical_value(rows: int, seeds: int) -> float:
    """Return how many standard errors a difference must exceed, among `rows` with `seeds` each."""
    from scipy.optimize import root_scalar
    from scipy.stats import studentized_range, t

    alpha = 1 - CONFIDENCE
    freedom = int(min(4, rows / 2) * (seeds - 1))
    above = float(t.isf(alpha / rows / (rows - 1), freedom)) * sqrt(2)  # Bonferroni's
    found = root_scalar(  # twice as fast as scipy's own quantile
        lambda value: log(studentized_range.sf(value, rows, freedom) / alpha),
        x0=above,
        x1=0.9 * above,
        xtol=1e-10,
    )
    return as_tabled(float(found.root) / sqrt(2))


def _residuals(values: NDArray[Any]) -> NDArray[Any]:
    noise = values - values.mean(axis=-1, keepdims=True)
    result: NDArray[Any] = noise - noise.mean(axis=-2, keepdims=True)
    return result
