"""Exact retrieval metrics with honest ties, in bounded memory.

``retrieval.evaluate(embeddings, labels)`` is the entry point. Importing this package is cheap:
NumPy, torch and faiss load when a name is first used.

The definitions, for a query of class c whose gallery holds R other items of class c:

- A query is never its own neighbour: its own row is excluded from its gallery by index.
- The positives are sorted by similarity; the rank of the j-th best is j plus the number of items of
  other classes that are more similar or tie with it: ties count against the model.
- Two items tie for a query if their squared distances (for cosines, of unit vectors), computed by
  differences in float64, are closer than 16 times what rounding can do to that computation. All
  engines decide so, by faster means only where the bound on their error allows it.
- Recall@k: 1 if the best positive's rank is at most k.
- R-Precision: the positives of rank R or better, over R.
- MAP@R: the sum of j / rank_j over the positives of rank R or better, over R.
- A query with R = 0 is *lone*: excluded from the averages, and counted.

Also here: `nearest_neighbours` to look at, `knn_accuracy`, `mean_distances`, `evaluate_clustering`
(NMI, AMI), `evaluate_verification` (ROC, equal error rate, TAR at FAR), `has_collapsed`, and
`evaluate_approximately` for galleries too large for an exact search.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmlbench.retrieval.approximate import ApproximateResult as ApproximateResult
    from dmlbench.retrieval.approximate import evaluate_approximately as evaluate_approximately
    from dmlbench.retrieval.clustering import ClusteringResult as ClusteringResult
    from dmlbench.retrieval.clustering import evaluate_clustering as evaluate_clustering
    from dmlbench.retrieval.collapse import has_collapsed as has_collapsed
    from dmlbench.retrieval.contract import Metric as Metric
    from dmlbench.retrieval.contract import SetMetric as SetMetric
    from dmlbench.retrieval.distances import Bhattacharyya as Bhattacharyya
    from dmlbench.retrieval.distances import Cosine as Cosine
    from dmlbench.retrieval.distances import Distance as Distance
    from dmlbench.retrieval.distances import Euclidean as Euclidean
    from dmlbench.retrieval.distances import KullbackLeibler as KullbackLeibler
    from dmlbench.retrieval.distances import Mahalanobis as Mahalanobis
    from dmlbench.retrieval.distances import Maps as Maps
    from dmlbench.retrieval.distances import Matusita as Matusita
    from dmlbench.retrieval.evaluation import evaluate as evaluate
    from dmlbench.retrieval.knn import knn_accuracy as knn_accuracy
    from dmlbench.retrieval.mean_distance import MeanDistances as MeanDistances
    from dmlbench.retrieval.mean_distance import mean_distances as mean_distances
    from dmlbench.retrieval.metrics import METRICS as METRICS
    from dmlbench.retrieval.metrics import find_metric as find_metric
    from dmlbench.retrieval.neighbours import Neighbours as Neighbours
    from dmlbench.retrieval.neighbours import nearest_neighbours as nearest_neighbours
    from dmlbench.retrieval.results import Averages as Averages
    from dmlbench.retrieval.results import PerQuery as PerQuery
    from dmlbench.retrieval.results import RetrievalResult as RetrievalResult
    from dmlbench.retrieval.verification import VerificationResult as VerificationResult
    from dmlbench.retrieval.verification import evaluate_verification as evaluate_verification

_PUBLIC = {
    "approximate": ("ApproximateResult", "evaluate_approximately"),
    "clustering": ("ClusteringResult", "evaluate_clustering"),
    "collapse": ("has_collapsed",),
    "contract": ("Metric", "SetMetric"),
    "distances": (
        "Bhattacharyya",
        "Cosine",
        "Distance",
        "Euclidean",
        "KullbackLeibler",
        "Mahalanobis",
        "Maps",
        "Matusita",
    ),
    "evaluation": ("evaluate",),
    "knn": ("knn_accuracy",),
    "mean_distance": ("MeanDistances", "mean_distances"),
    "metrics": ("METRICS", "find_metric"),
    "neighbours": ("Neighbours", "nearest_neighbours"),
    "results": ("Averages", "PerQuery", "RetrievalResult"),
    "verification": ("VerificationResult", "evaluate_verification"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - one list of public names, above


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dmlbench.retrieval' has no attribute {name!r}")
    return getattr(import_module(f"dmlbench.retrieval.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
