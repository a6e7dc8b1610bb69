"""What an evaluation returns: averages, and the figures of every query."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from dmlbench.errors import PluginError
from dmlbench.retrieval.contract import Metric, SetMetric
from dmlbench.retrieval.inputs import Inputs
from dmlbench.retrieval.metrics import in_order, rank_in


@dataclass(frozen=True)
class PerQuery:
    """Figures of all queries ``[Q]``, in the order they were given; 0 where a query is lone."""

    relevant: np.ndarray
    """R: gallery items of the query's class without itself (int64)."""
    negatives: np.ndarray
    """Gallery items of other classes (int64)."""
    best_rank: np.ndarray
    """Rank of its best positive, counted from 1 (int64)."""
    hits: np.ndarray
    """Positives of rank R or better (int64)."""
    average_precision: np.ndarray
    """Its term of MAP@R (float64)."""
    ties: np.ndarray
    """Negatives tied with its best positive (int64)."""
    hits_at: dict[int, np.ndarray]
    """k -> positives of rank k or better (int64), for the k asked for."""
    whole_average_precision: np.ndarray | None
    """Average precision of its whole ranking (float64), if asked for."""
    positive_ranks: np.ndarray | None = None
    """Ranks of all positives, best first, query after query ``[sum of relevant]``, if asked for."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what metrics read, by name, without lone queries."""
        scored = self.relevant > 0
        of_queries = ("relevant", "negatives", "best_rank", "hits", "average_precision", "ties")
        found = {name: getattr(self, name)[scored] for name in of_queries}
        found |= {f"hits@{k}": hits[scored] for k, hits in self.hits_at.items()}
        if self.whole_average_precision is not None:
            found["whole_average_precision"] = self.whole_average_precision[scored]
        if self.positive_ranks is not None:  # lone queries have none
            found["positive_ranks"] = self.positive_ranks
        return found


@dataclass(frozen=True)
class Averages:
    """Means over the queries that have a positive."""

    metrics: dict[str, float]
    """Every metric by its key, such as ``recall@1``, in the order of tables."""

    @property
    def recall_at(self) -> dict[int, float]:
        """Return k -> share of queries with a positive of rank k or better."""
        return self._at_ranks("recall@")

    @property
    def precision_at(self) -> dict[int, float]:
        """Return k -> mean share of positives among the first k, for the k asked for."""
        return self._at_ranks("precision@")

    @property
    def r_precision(self) -> float:
        """Return the mean of the hits in the first R, over R."""
        return self.metrics["r_precision"]

    @property
    def map_at_r(self) -> float:
        """Return the mean of (1/R) sum of j / rank_j over the positives of rank R or better."""
        return self.metrics["map_at_r"]

    @property
    def mean_reciprocal_rank(self) -> float:
        """Return the mean of 1 / rank of the best positive."""
        return self.metrics["mean_reciprocal_rank"]

    @property
    def mean_average_precision(self) -> float | None:
        """Return the mean of (1/R) sum of j / rank_j over all positives, if asked for."""
        return self.metrics.get("mean_average_precision")

    def _at_ranks(self, prefix: str) -> dict[int, float]:
        return {
            rank_in(key): value for key, value in self.metrics.items() if key.startswith(prefix)
        }


@dataclass(frozen=True)
class RetrievalResult(Averages):
    """Means over queries, with what is needed to judge them."""

    queries: int
    """All queries, lone ones too; distractors are none."""
    lone_queries: int
    """Queries without a positive, left out of every average."""
    per_class: Averages
    """The same averages with every class counted alike, however many queries it has."""
    per_query: PerQuery = field(repr=False)
    distractors: int = 0
    """Gallery items of ignored labels."""

    @property
    def tied(self) -> float:
        """Return the share of queries with a negative that ties with the best positive."""
        return self.metrics["tied"]


def summarise(
    per_query: PerQuery, inputs: Inputs, metrics: Mapping[str, Metric]
) -> RetrievalResult:
    """Average the figures of single queries, of which one at least has a positive.

    Args:
        per_query: the figures.
        inputs: what was ranked.
        metrics: what to compute, by key.
    """
    scored = per_query.relevant > 0
    queries = int(inputs.is_query.sum())
    number, size = np.unique(inputs.labels[scored], return_inverse=True, return_counts=True)[1:]

    def over_queries(values: np.ndarray) -> float:
        return float(np.mean(values))

    def over_classes(values: np.ndarray) -> float:
        return float(np.mean(np.bincount(number, values) / size))

    arrays = per_query.arrays()
    values = {
        key: _checked(key, metric.by_query(arrays), len(number))
        for key, metric in metrics.items()
        if not isinstance(metric, SetMetric)
    }

    def averages(mean: Callable[[np.ndarray], float]) -> dict[str, float]:
        return {key: mean(value) for key, value in values.items()}

    of_set = {
        key: float(metric.of_set(*inputs.all_items()))
        for key, metric in metrics.items()
        if isinstance(metric, SetMetric)
    }
    found = averages(over_queries) | of_set
    return RetrievalResult(
        metrics={key: found[key] for key in in_order(found)},
        queries=queries,
        lone_queries=queries - int(scored.sum()),
        per_class=Averages(averages(over_classes)),
        per_query=per_query,
        distractors=int(inputs.is_distractor.sum()),
    )


def _checked(key: str, values: np.ndarray, queries: int) -> np.ndarray:
    """Return a metric's values by query.

    Raises:
        PluginError: they are not one finite number for each query.
    """
    if np.shape(values) != (queries,):
        raise PluginError(
            f"The metric {key!r} returned values of shape {list(np.shape(values))}, not one for "
            f"each of the {queries} queries."
        )
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise PluginError(f"The metric {key!r} returned values that are not finite numbers.")
    return values
