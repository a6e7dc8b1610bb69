"""Every metric of dmlbench, once: averages, records, tables, ``score`` and checks read it here.

To add one, write its class and name it in `METRICS`. Metrics of other packages are found by the
entry-point group ``dmlbench.metrics``. Nothing heavy is imported here: `dmlbench list` reads it.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from dmlbench.retrieval.contract import Metric, SetMetric

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]


class RecallAtK(Metric):
    """1 if one of the first `k` items is of the query's class."""

    title = "Recall"

    def __init__(self, k: int | str) -> None:
        self.k = int(k)
        self.needs = frozenset({"best_rank"})
        self.floors_count = self.k == 1

    def by_query(self, arrays: "Arrays") -> "np.ndarray":
        """Return whether the best positive has rank `k` or better ``[Q]``."""
        return arrays["best_rank"] <= self.k


class PrecisionAtK(Metric):
    """Share of positives among the first `k` items."""

    title = "Precision"

    def __init__(self, k: int | str) -> None:
        self.k = int(k)
        self.needs = frozenset({f"hits@{self.k}"})

    def by_query(self, arrays: "Arrays") -> "np.ndarray":
        """Return the hits among the first `k`, over `k` ``[Q]``."""
        share: np.ndarray = arrays[f"hits@{self.k}"] / self.k
        return share


class RPrecision(Metric):
    """Share of positives among the first R items, R being all that there are."""

    title = "R-Precision"
    needs = frozenset({"hits", "relevant"})

    def by_query(self, arrays: "Arrays") -> "np.ndarray":
        """Return the hits in the first R, over R ``[Q]``."""
        share: np.ndarray = arrays["hits"] / arrays["relevant"]
        return share


class MAPAtR(Metric):
    """(1/R) sum of j / rank_j over the positives of rank R or better."""

    title = "MAP@R"
    needs = frozenset({"average_precision"})
    orders_rows = True
    floors_count = True

    def by_query(self, arrays: "Arrays") -> "np.ndarray":
        """Return the query's term ``[Q]``, which the engines have summed up."""
        return arrays["average_precision"]


class MeanReciprocalRank(Metric):
    """1 / rank of the best positive."""

    title = "MRR"
    alias = "mrr"
    needs = frozenset({"best_rank"})

    def by_query(self, arrays: "Arrays") -> "np.ndarray":
        """Return 1 / rank ``[Q]``."""
        reciprocal: np.ndarray = 1 / arrays["best_rank"]
        return reciprocal


class MeanAveragePrecision(Metric):
    """(1/R) sum of j / rank_j over all positives, wherever they rank."""

    title = "mAP"
    alias = "map"
    needs = frozenset({"whole_average_precision"})

    def by_query(self, arrays: "Arrays") -> "np.ndarray":
        """Return the average precision of the whole ranking ``[Q]``."""
        return arrays["whole_average_precision"]


class KNNAccuracy(Metric):
    """Whether the vote of 5 nearest neighbours is right; of cross-validated sets."""

    title = "5-NN accuracy"
    needs = frozenset({"correct"})
    orders_rows = True
    floors_count = True

    def by_query(self, arrays: "Arrays") -> "np.ndarray":
        """Return whether the vote is right ``[Q]``."""
        return arrays["correct"]


class NMI(SetMetric):
    """Normalised mutual information of k-means clusters and classes, see `evaluate_clustering`."""

    title = "NMI"

    def of_set(self, embeddings: "np.ndarray", labels: "np.ndarray") -> float:
        """Return the mean over three runs of k-means."""
        from dmlbench.retrieval.clustering import evaluate_clustering

        return evaluate_clustering(embeddings, labels).nmi


class AMI(SetMetric):
    """Adjusted mutual information of k-means clusters and classes, see `evaluate_clustering`."""

    title = "AMI"

    def of_set(self, embeddings: "np.ndarray", labels: "np.ndarray") -> float:
        """Return the mean over three runs of k-means."""
        from dmlbench.retrieval.clustering import evaluate_clustering

        return evaluate_clustering(embeddings, labels).ami


class Tied(Metric):
    """Whether a negative is tied with the query's best positive, so that ties decide its rank."""

    title = "Tied queries"
    needs = frozenset({"ties"})
    higher_is_better = False
    is_diagnostic = True

    def by_query(self, arrays: "Arrays") -> "np.ndarray":
        """Return whether there is a tie ``[Q]``."""
        return arrays["ties"] > 0


METRICS: Mapping[str, type[Metric]] = {
    "recall": RecallAtK,
    "precision": PrecisionAtK,
    "r_precision": RPrecision,
    "map_at_r": MAPAtR,
    "mean_reciprocal_rank": MeanReciprocalRank,
    "mean_average_precision": MeanAveragePrecision,
    "knn_accuracy": KNNAccuracy,
    "nmi": NMI,
    "ami": AMI,
    "tied": Tied,
}
"""By key, in the order of tables. ``recall`` and ``precision`` take a rank: ``recall@10``."""

_AT_A_RANK = re.compile(r"(recall|precision)@([1-9][0-9]{0,9})")
_SHORT = {metric.alias: key for key, metric in METRICS.items() if metric.alias}


@lru_cache(maxsize=256)
def find_metric(name: str) -> Metric | None:
    """Return the metric of dmlbench that a key or an alias names, or None if there is none.

    Example:
        >>> find_metric("recall@10").title, find_metric("mrr").title, find_metric("recall")
        ('Recall', 'MRR', None)
    """
    at_a_rank = _AT_A_RANK.fullmatch(name)
    if at_a_rank:
        kind: type[RecallAtK] | type[PrecisionAtK]
        kind = RecallAtK if at_a_rank[1] == "recall" else PrecisionAtK
        return kind(int(at_a_rank[2]))
    found = METRICS.get(key_of(name))
    return None if found in (None, RecallAtK, PrecisionAtK) else found()


def key_of(name: str) -> str:
    """Return the key that an alias stands for; any other name is its own."""
    return _SHORT.get(name, name)


def rank_in(key: str) -> int:
    """Return k of ``recall@k`` or ``precision@k``, or 0."""
    at_a_rank = _AT_A_RANK.fullmatch(key)
    return int(at_a_rank[2]) if at_a_rank else 0


def in_order(keys: Iterable[str]) -> list[str]:
    """Return `keys` in the order of tables: as in `METRICS`, each kind by rank, others last.

    Example:
        >>> in_order(["map_at_r", "theirs", "recall@10", "recall@2"])
        ['recall@2', 'recall@10', 'map_at_r', 'theirs']
    """
    place = {key: number for number, key in enumerate(METRICS)}

    def sort_key(key: str) -> tuple[int, int, str]:
        rank = rank_in(key)
        return place.get(key.partition("@")[0] if rank else key, len(place)), rank, key

    return sorted(keys, key=sort_key)
