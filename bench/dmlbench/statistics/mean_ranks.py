r"""Ranks of rows over datasets, and how little they tell.

Rows are ranked within each dataset, best first; tied rows get the mean of their ranks. With
:math:`D` datasets and :math:`K` rows, two mean ranks are told apart if they differ by at least
Nemenyi's critical difference,

.. math:: q_{0.95}(K, \infty) / \sqrt 2 \cdot \sqrt{K (K + 1) / (6 D)}.

The interval of a mean rank is the percentile bootstrap over datasets, if there are at least six.
Fewer give no interval worth the name (three have ten different resamples): for those we only give
the best and the worst rank.

Sources: Nemenyi, Distribution-free Multiple Comparisons, 1963; Demsar, Statistical Comparisons of
Classifiers over Multiple Data Sets, JMLR 2006; Efron, Bootstrap Methods, Annals of Statistics 1979.
"""

from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlbench.errors import DataError
from dmlbench.statistics.intervals import CONFIDENCE, as_tabled

LEAST_DATASETS = 6
"""With fewer datasets a mean rank has no interval, and no test could reject."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Ranks:
    """Rows ranked within datasets; 1 is the best rank."""

    ranks: NDArray[Any]
    """By dataset and row ``[D, K]``."""
    means: NDArray[Any]
    """Over the datasets ``[K]``."""
    low: NDArray[Any]
    """Lower end of each mean's interval ``[K]``; with few datasets, the best rank."""
    high: NDArray[Any]
    """Upper end; with few datasets, the worst rank."""
    resampled: bool
    """Whether `low` and `high` are an interval from resampling datasets."""
    critical: float
    """Critical difference: the least at which two mean ranks are told apart."""


def rank_over(values: NDArray[Any]) -> Ranks:
    """Rank rows by `values` ``[D, K]``: means by dataset and row, where higher is better.

    Raises:
        DataError: there are fewer than two rows, there is no dataset, or a value is not finite.

    Example:
        >>> found = rank_over(np.array([[0.9, 0.8, 0.7], [0.6, 0.6, 0.1]]))  # [D, K]
        >>> found.ranks
        array([[1. , 2. , 3. ],
               [1.5, 1.5, 3. ]])
        >>> found.means
        array([1.25, 1.75, 3.  ])
    """
    from scipy.stats import rankdata, studentized_range

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 1 or values.shape[1] < 2:
        raise DataError("Ranks over datasets need at least two rows and one dataset.")
    if not np.isfinite(values).all():
        raise DataError("Only finite values can be ranked.")
    datasets, rows = values.shape
    ranks = rankdata(-values, axis=1)
    critical = as_tabled(float(studentized_range.ppf(CONFIDENCE, rows, inf)) / sqrt(2))
    critical *= sqrt(rows * (rows + 1) / (6 * datasets))
    low, high = ranks.min(axis=0), ranks.max(axis=0)
    if datasets >= LEAST_DATASETS:
        drawn = np.random.default_rng(0).integers(datasets, size=(_RESAMPLES, datasets))
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(ranks[drawn].mean(axis=1), [tail, 100 - tail], axis=0)
    return Ranks(ranks, ranks.mean(axis=0), low, high, datasets >= LEAST_DATASETS, critical)
