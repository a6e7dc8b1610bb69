"""What a metric is: a figure of each query, or one of the whole set."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np

_GIVEN = frozenset(
    {
        *("relevant", "negatives", "best_rank", "hits", "average_precision", "ties"),
        *("whole_average_precision", "positive_ranks", "correct", "embeddings"),
    }
)
_HITS_AT_A_RANK = re.compile(r"hits@[1-9][0-9]{0,9}")

RECORDED = frozenset({"relevant", "best_rank", "hits", "average_precision", "correct"})
"""The arrays by query that a record keeps; a metric that needs no other can be recomputed."""


class Metric(ABC):
    """A figure of each query that has something to find; the metric is their mean.

    Ranks count from 1 and are pessimistic already: among items that are equally similar, those of
    other classes come first. A metric says in `needs` which of these arrays it reads:

    ===========================  ===================================================================
    ``relevant``                 R ``[Q]``: gallery items of the query's class, without itself
    ``negatives``                gallery items of other classes ``[Q]``
    ``best_rank``                rank of its best positive ``[Q]``
    ``hits``                     positives of rank R or better ``[Q]``
    ``hits@10``                  positives of rank 10 or better ``[Q]``, for any number
    ``average_precision``        its term of MAP@R ``[Q]``
    ``ties``                     negatives tied with its best positive ``[Q]``
    ``whole_average_precision``  average precision of its whole ranking ``[Q]``
    ``positive_ranks``           ranks of all its positives, best first, query after query
                                 ``[sum of relevant]``; several times slower, 4 bytes each
    ``correct``                  whether the vote of the nearest neighbours is right ``[Q]``;
                                 cross-validation alone
    ===========================  ===================================================================

    Example:
        >>> class MeanRank(Metric):
        ...     title = "Mean rank"
        ...     needs = frozenset({"best_rank"})
        ...     higher_is_better = False
        ...     is_share = False
        ...
        ...     def by_query(self, arrays):
        ...         return arrays["best_rank"]
        >>> import numpy as np
        >>> MeanRank().by_query({"best_rank": np.array([1, 4])}).mean()
        np.float64(2.5)
    """

    title: ClassVar[str]
    """What tables call it."""
    needs: frozenset[str]
    """Names of the arrays that it reads, see above."""
    alias: ClassVar[str] = ""
    """A shorter name that ``--metrics`` takes too."""
    higher_is_better: ClassVar[bool] = True
    is_share: ClassVar[bool] = True
    """Whether it lies in 0 to 1; tables show it in percent."""
    orders_rows: ClassVar[bool] = False
    """Whether tables are ordered by it; of several, the first in `METRICS`."""
    floors_count: bool = False
    """Whether a row that loses to raw pixels or the untrained network on it is marked."""
    is_diagnostic: ClassVar[bool] = False
    """Whether it judges the figures, not the model: no column of a table, not compared."""

    @abstractmethod
    def by_query(self, arrays: "Mapping[str, np.ndarray]") -> "np.ndarray":
        """Return its value for each query ``[Q]``; every query has a positive."""

    def unknown_needs(self) -> list[str]:
        """Return what it needs and no ranking gives."""
        return sorted(need for need in self.needs - _GIVEN if not _HITS_AT_A_RANK.fullmatch(need))

    @property
    def is_recorded(self) -> bool:
        """Return whether it can be computed again from what a record keeps."""
        return self.needs <= RECORDED


class SetMetric(Metric):
    """A figure of a whole set of embeddings, which is no mean over queries."""

    needs = frozenset({"embeddings"})

    @abstractmethod
    def of_set(self, embeddings: "np.ndarray", labels: "np.ndarray") -> float:
        """Return its value for embeddings ``[N, D]`` of classes ``[N]``, ``N`` all test items."""

    def by_query(self, arrays: "Mapping[str, np.ndarray]") -> "np.ndarray":
        """Refuse: there is no such value."""
        raise TypeError(f"{self.title} is a figure of the whole set.")
