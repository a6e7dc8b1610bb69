r"""What the choice of test classes is worth: resampling of classes, and of seeds and classes.

Items of one class are alike, so a test set of C classes is a sample of C, however many items it
has. A metric is a mean over queries, so with the sums :math:`S_{sc}` of its values by seed and
class and the number :math:`N_c` of queries of each class, a resampled value is a ratio of sums,

.. math:: \frac{\sum_s v_s \sum_c w_c S_{sc}}{\sum_s v_s \sum_c w_c N_c},

where w counts how often each class was drawn and v how often each seed. All rows of a table share
the draws, so that differences of rows keep what a hard class does to both. Drawn are C - 1 of C
classes and n - 1 of n seeds, with replacement: with so few seeds, n of n would make their variance
too small by (n - 1) / n. Half-widths are the standard deviation of 2,000 resampled values times
Student's quantile. The draws begin from a fixed seed, so equal values have equal half-widths.

Drawing seeds and classes independently (Owen's pigeonhole bootstrap) is careful: noise of single
seeds on single classes counts up to three times.

Sources: Efron, Bootstrap Methods, Annals of Statistics 1979; McCarthy and Snowden, The Bootstrap
and Finite Population Sampling, 1985; Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics
2007; Satterthwaite, An Approximate Distribution of Estimates of Variance Components, 1946.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlbench.errors import DataError
from dmlbench.statistics.intervals import quantile

LEAST_CLASSES = 50
"""With fewer test classes nothing is said about others: five gave 17 % false claims."""

RESAMPLES = 2000


@dataclass(frozen=True)
class ClassNoise:
    """What another draw of test classes would do to the means of rows over their seeds."""

    half_widths: NDArray[Any]
    """Of each row's 95 % interval ``[K]``, the seeds held."""
    variances: NDArray[Any]
    """Of the difference of each two rows ``[K, K]``, the seeds held."""


def class_noise(totals: NDArray[Any], counts: NDArray[Any]) -> ClassNoise:
    """Return the test-class noise of rows, by resampling of classes.

    Args:
        totals: sums of the metric ``[K, n, C]`` over the queries, by row, seed and class.
        counts: queries of each class ``[C]``.

    Raises:
        DataError: there are fewer than `LEAST_CLASSES` classes, or one without a query.
    """
    _check(totals, counts)
    weights = _draws(len(counts), stream=0)
    values = (weights @ totals.mean(axis=1).T) / (weights @ counts)[:, None]  # [B, K]
    covariance = np.atleast_2d(np.cov(values, rowvar=False))
    own = np.diagonal(covariance)
    between = np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0.0)
    np.fill_diagonal(between, 0.0)
    return ClassNoise(quantile(len(counts) - 1) * np.sqrt(own), between)


def two_way_half_width(totals: NDArray[Any], counts: NDArray[Any]) -> float | None:
    """Return half the 95 % interval of a row, or of a difference, for new seeds and new classes.

    Student's quantile has Satterthwaite's degrees of freedom: about n - 1 where the seeds make most
    of the noise, C - 1 where the classes do.

    Args:
        totals: sums of the metric ``[n, C]`` over the queries by seed and class; of a difference,
            the differences of these sums.
        counts: queries of each class ``[C]``.

    Returns:
        None for a single seed.

    Raises:
        DataError: there are fewer than `LEAST_CLASSES` classes, or one without a query.
    """
    _check(totals[None], counts)
    seeds, classes = totals.shape
    if seeds == 1:
        return None
    by_seed, by_class = _draws(seeds, stream=1), _draws(classes, stream=0)
    sums = np.einsum("bn,bn->b", by_seed, by_class @ totals.T)
    values = sums / (seeds - 1) / (by_class @ counts)
    of_seeds = float(np.var(totals.sum(axis=1) / counts.sum(), ddof=1)) / seeds
    of_classes = (
        float(class_noise(totals[None], counts).half_widths[0] / quantile(classes - 1)) ** 2
    )
    if of_seeds + of_classes == 0:
        return 0.0
    parts = of_seeds**2 / (seeds - 1) + of_classes**2 / (classes - 1)
    freedom = (of_seeds + of_classes) ** 2 / parts
    return quantile(freedom) * sqrt(float(np.var(values, ddof=1)))


@lru_cache(maxsize=4)
def _draws(number: int, stream: int) -> NDArray[Any]:
    """Return how often each of `number` things is drawn ``[B, number]``, `number` - 1 in all."""
    rng = np.random.default_rng([stream, number])
    drawn = rng.integers(number, size=(RESAMPLES, number - 1))
    drawn += number * np.arange(RESAMPLES)[:, None]
    counted = np.bincount(drawn.ravel(), minlength=RESAMPLES * number)
    return counted.reshape(RESAMPLES, number).astype(np.float64)


def _check(totals: NDArray[Any], counts: NDArray[Any]) -> None:
    if len(counts) < LEAST_CLASSES or not (counts > 0).all():
        raise DataError(
            f"Test-class noise takes {LEAST_CLASSES} test classes with queries; here are "
            f"{int((counts > 0).sum())}."
        )
    if totals.shape[-1] != len(counts) or not np.isfinite(totals).all():
        raise DataError("Test-class noise takes a finite sum for each class.")
