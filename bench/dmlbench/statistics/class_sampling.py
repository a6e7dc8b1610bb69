r"""How much the choice of test classes matters: resampling of classes, and of seeds and classes.

Items of one class are alike, so a test set of C classes is a sample of size C, however many items
it has. A metric is a mean over queries, so with the sums :math:`S_{sc}` of its values by seed and
class and the number :math:`N_c` of queries of each class, a resampled value is a ratio of sums,

.. math:: \frac{\sum_s v_s \sum_c w_c S_{sc}}{\sum_s v_s \sum_c w_c N_c},

where w counts how often each class was drawn and v how often each seed. All rows of a table share
the draws, so that a hard class affects both rows of a difference. We draw C - 1 of C classes and
n - 1 of n seeds, with replacement: with so few seeds, n of n would shrink their variance by a
factor of (n - 1) / n. Half-widths are the standard deviation of 2,000 resampled values times
Student's quantile. The draws start from a fixed seed, so equal values have equal half-widths.

Drawing seeds and classes independently (Owen's pigeonhole bootstrap) is conservative: noise of
single seeds on single classes counts up to three times.

Sources: Efron, Bootstrap Methods, Annals of Statistics 1979; McCarthy and Snowden, The Bootstrap
and Finite Population Sampling, 1985; Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics
2007; Satterthwaite, An Approximate Distribution of Estimates of Variance Components, 1946.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlbench.errors import DataError
from dmlbench.statistics.intervals import quantile

LEAST_CLASSES = 50
"""With fewer test classes we claim nothing about other classes: five gave 17 % false claims."""

RESAMPLES = 2000

_BLOCK = 1 << 20
"""Numbers that are held at a time, 8 MiB: all draws of 11,000 classes would be 170."""


@dataclass(frozen=True)
class ClassNoise:
    """How another draw of test classes would change the means of rows over their seeds."""

    half_widths: NDArray[Any]
    """Of each row's 95 % interval ``[K]``, with the seeds fixed."""
    variances: NDArray[Any]
    """Of the difference of each pair of rows ``[K, K]``, with the seeds fixed."""


def class_noise(totals: NDArray[Any], counts: NDArray[Any]) -> ClassNoise:
    """Return the test-class noise of rows, by resampling classes.

    Args:
        totals: sums of the metric over the queries, by row, seed and class ``[K, n, C]``.
        counts: queries of each class ``[C]``.

    Raises:
        DataError: there are fewer than `LEAST_CLASSES` classes, or one has no query.

    Example:
        >>> totals = np.random.default_rng(0).uniform(4, 6, size=(2, 5, 60))  # [K, n, C]
        >>> noise = class_noise(totals, np.full(60, 10))
        >>> noise.half_widths.shape, noise.variances.shape
        ((2,), (2, 2))
    """
    _check(totals, counts)
    drawn = _drawn(_draws(len(counts), stream=0), np.vstack([totals.mean(axis=1), counts]).T)
    values = drawn[:, :-1] / drawn[:, -1:]  # [B, K]
    values -= values.mean(axis=0)
    own = (values**2).sum(axis=0) / (RESAMPLES - 1)
    between = np.stack([((values - row[:, None]) ** 2).sum(axis=0) for row in values.T])
    return ClassNoise(quantile(len(counts) - 1) * np.sqrt(own), between / (RESAMPLES - 1))


def two_way_half_width(totals: NDArray[Any], counts: NDArray[Any]) -> float | None:
    """Return the half-width of a row's, or a difference's, 95 % interval for new seeds and classes.

    Student's quantile has Satterthwaite's degrees of freedom: about n - 1 where seeds cause most of
    the noise, C - 1 where classes do.

    Args:
        totals: sums of the metric over the queries, by seed and class ``[n, C]``; for a difference,
            the differences of these sums.
        counts: queries of each class ``[C]``.

    Returns:
        None for a single seed.

    Raises:
        DataError: there are fewer than `LEAST_CLASSES` classes, or one has no query.

    Example:
        >>> two_way_half_width(np.zeros((5, 60)), np.full(60, 10))  # no noise
        0.0
        >>> first, second = np.random.default_rng(0).uniform(4, 6, size=(2, 5, 60))  # [n, C] each
        >>> 0 < two_way_half_width(first - second, np.full(60, 10)) < 0.1
        True
    """
    _check(totals[None], counts)
    seeds, classes = totals.shape
    if seeds == 1:
        return None
    columns = np.vstack([totals, totals.mean(axis=0), counts]).T  # [C, n + 2]
    *by_seed, mean, queries = _drawn(_draws(classes, stream=0), columns).T
    sums = (_draws(seeds, stream=1) * np.stack(by_seed, axis=1)).sum(axis=1)
    values = sums / (seeds - 1) / queries
    of_seeds = float(np.var(totals.sum(axis=1) / counts.sum(), ddof=1)) / seeds
    of_classes = float(np.var(mean / queries, ddof=1))
    both = of_seeds + of_classes
    if both == 0:
        return 0.0
    parts = of_seeds * of_seeds / (seeds - 1) + of_classes * of_classes / (classes - 1)
    freedom = both * both / parts
    return quantile(freedom) * sqrt(float(np.var(values, ddof=1)))


def _drawn(draws: NDArray[Any], sums: NDArray[Any]) -> NDArray[Any]:
    """Return the product of `draws` ``[B, C]`` and `sums` ``[C, K]``, exact in any order.

    How a matrix product rounds depends on the processor and the number of threads. So the sums are
    first rounded to multiples of a power of two, so large that no sum of a draw has more than the
    53 bits of a float: then nothing in the product is rounded.
    """
    most = np.abs(sums).max(axis=0) * len(sums)
    unit = np.ldexp(1.0, np.maximum(np.frexp(most)[1] - 53, -1022))
    rounded = np.rint(sums / unit)
    product = np.empty((len(draws), sums.shape[1]))
    for some in _blocks(*draws.shape):
        product[some] = draws[some].astype(np.float64) @ rounded
    product *= unit
    return product


@lru_cache(maxsize=4)
def _draws(number: int, stream: int) -> NDArray[Any]:
    """Return how often each of `number` things is drawn ``[B, number]``, in `number` - 1 draws.

    A byte is enough: in these few draws, nothing is drawn anywhere near 256 times.
    """
    rng = np.random.default_rng([stream, number])
    counted = np.empty((RESAMPLES, number), dtype=np.uint8)
    for some in _blocks(*counted.shape):
        rows = len(counted[some])
        drawn = rng.integers(number, size=(rows, number - 1))
        drawn += number * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * number)
        counted[some] = counts.reshape(rows, number)
    return counted


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield ranges of rows with at most `_BLOCK` numbers in all, or a single row."""
    size = max(1, _BLOCK // columns)
    for start in range(0, rows, size):
        yield slice(start, start + size)


def _check(totals: NDArray[Any], counts: NDArray[Any]) -> None:
    if len(counts) < LEAST_CLASSES or not (counts > 0).all():
        raise DataError(
            f"Test-class noise needs {LEAST_CLASSES} test classes, each with a query; "
            f"{int((counts > 0).sum())} of {len(counts)} have one."
        )
    if totals.shape[-1] != len(counts) or not np.isfinite(totals).all():
        raise DataError("Test-class noise needs one finite sum per class.")
