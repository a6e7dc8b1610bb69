r"""Ranks of rows over datasets, and how little they tell.

Ranks are given within each dataset, best first, ties their mean. With :math:`D` datasets and
:math:`K` rows, two mean ranks are told apart from Nemenyi's critical difference on,

.. math:: q_{0.95}(K, \infty) / \sqrt 2 \cdot \sqrt{K (K + 1) / (6 D)}.

The interval of a mean rank is the percentile bootstrap over datasets, from six on. Fewer give no
interval worth the name (three have ten different resamples): there the least and the greatest rank
are all that is said.

Sources: Nemenyi, Distribution-free Multiple Comparisons, 1963; Demsar, Statistical Comparisons of
Classifiers over Multiple Data Sets, JMLR 2006; Efron, Bootstrap Methods, Annals of Statistics 1979.
"""

from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlbench.errors import DataError
from dmlbench.statistics.intervals import CONFIDENCE

LEAST_DATASETS = 6
"""With fewer there is no interval of a mean rank, and no test could reject."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Ranks:
    """Rows ranked within datasets."""

    ranks: NDArray[Any]
    """``[D, K]``, 1 for the best."""
    means: NDArray[Any]
    """Over the datasets ``[K]``."""
    low: NDArray[Any]
    """Lower end of each mean's interval ``[K]``; with few datasets the least rank."""
    high: NDArray[Any]
    """Upper end; with few datasets the greatest rank."""
    resampled: bool
    """Whether `low` and `high` are an interval by resampling datasets."""
    critical: float
    """From which difference on two mean ranks are told apart."""


def rank_over(values: NDArray[Any]) -> Ranks:
    """Return the ranks of rows by `values` ``[D, K]``: means by dataset and row, more is better.

    Raises:
        DataError: there are no two rows or no dataset, or a value is not finite.
    """
    from scipy.stats import rankdata, studentized_range

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 1 or values.shape[1] < 2:
        raise DataError("Ranks over datasets take two rows and a dataset.")
    if not np.isfinite(values).all():
        raise DataError("Only finite values have ranks.")
    datasets, rows = values.shape
    ranks = rankdata(-values, axis=1)
    critical = float(studentized_range.ppf(CONFIDENCE, rows, inf)) / sqrt(2)
    critical *= sqrt(rows * (rows + 1) / (6 * datasets))
    low, high = ranks.min(axis=0), ranks.max(axis=0)
    if datasets >= LEAST_DATASETS:
        drawn = np.random.default_rng(0).integers(datasets, size=(_RESAMPLES, datasets))
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(ranks[drawn].mean(axis=1), [tail, 100 - tail], axis=0)
    return Ranks(ranks, ranks.mean(axis=0), low, high, datasets >= LEAST_DATASETS, critical)
