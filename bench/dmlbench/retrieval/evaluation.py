"""`evaluate`: exact Recall@k, R-Precision, MAP@R and other retrieval metrics of embeddings."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np

from dmlbench.errors import ConfigError, nearest
from dmlbench.retrieval.contract import Metric
from dmlbench.retrieval.distances import Distance, as_distance
from dmlbench.retrieval.engine.choice import rank
from dmlbench.retrieval.engine.comparison import compare
from dmlbench.retrieval.engine.layout import ClassLayout, lay_out
from dmlbench.retrieval.engine.products import Products
from dmlbench.retrieval.engine.task import Figures, Task
from dmlbench.retrieval.inputs import Inputs, read_inputs
from dmlbench.retrieval.leaving_out import without_left_out
from dmlbench.retrieval.metrics import METRICS, find_metric, key_of
from dmlbench.retrieval.overlap import in_gallery
from dmlbench.retrieval.results import PerQuery, RetrievalResult, summarise

if TYPE_CHECKING:
    import torch

    from dmlbench.retrieval.inputs import Embeddings, Labels, LeaveOut

_SMALLEST_BUDGET = 2**16
_LAST_RANK = 2**31 - 1
_ALWAYS = ("r_precision", "map_at_r", "mean_reciprocal_rank", "tied")


def evaluate(
    embeddings: "Embeddings",
    labels: "Labels",
    gallery: "Embeddings | None" = None,
    gallery_labels: "Labels | None" = None,
    *,
    self_index: "Labels | None" = None,
    ignore_labels: "Iterable[int | str]" = (),
    leave_out: "LeaveOut | None" = None,
    recall_at: Sequence[int] = (1, 10),
    precision_at: Sequence[int] = (),
    mean_average_precision: bool = False,
    metrics: "Iterable[str] | Mapping[str, Metric]" = (),
    distance: str | Distance = "cosine",
    tolerance: float = 0.0,
    memory_budget: int = 256 * 2**20,
    device: "str | torch.device | None" = None,
    products: Products = "numpy",
) -> RetrievalResult:
    """Return the retrieval metrics of queries ``[Q, D]`` in a gallery ``[G, D]``.

    The same inputs, `memory_budget` and machine give the same result to the bit, with any number of
    threads.

    It warns if queries seem to be gallery items, and neither `self_index` nor `leave_out` is given.

    Args:
        embeddings: queries ``[Q, D]``; without a gallery, each searches all the others.
        labels: their classes ``[Q]``: integers or texts. (Floats if they are exact integers.)
        gallery: the items to search ``[G, D]``, if not the queries themselves.
        gallery_labels: their classes ``[G]``, integers or texts as `labels` are.
        self_index: each query's own row in the gallery ``[Q]``, -1 if it is not there.
        ignore_labels: labels of distractors: they are found, but are no queries and of no class,
            so never right.
        leave_out: items that a query must not find. The group of each item ``[Q]``, or with a
            gallery a pair, groups of queries ``[Q]`` and of the gallery ``[G]``: those of the
            query's own group are left out, whatever their class. Or a boolean mask ``[Q, G]``.
            Queries that this concerns are ranked in float64 on the CPU, many times slower.
        recall_at: values of k for Recall@k.
        precision_at: values of k for precision@k.
        mean_average_precision: also rank every positive, which takes several times longer.
        metrics: further metrics: names (``"nmi"``), or a mapping from keys to `Metric` objects of
            your own.
        distance: how to compare embeddings: a name or a `Distance`.
        tolerance: a negative ranks above a positive unless it is less similar by more than this,
            in units of the similarity (cosines, by default); 0 means unless the two tie, which is
            decided in float64: see `dmlbench.retrieval`.
        memory_budget: bytes to use on top of the inputs and about 200 bytes per item. (A GPU takes
            1 GiB of its own memory, plus the gallery's vectors.)
        device: where to compute the products; None means where the embeddings are.
        products: whose matrix products to use on a CPU; which is faster depends on the machine.

    Raises:
        DataError: see `read_inputs`; or no query has a positive.
        ConfigError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dmlbench.retrieval import evaluate
        >>> embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.6, 0.5]])  # [Q, D]
        >>> result = evaluate(embeddings, np.array([0, 0, 1, 1]), recall_at=(1, 3))
        >>> result.recall_at
        {1: 0.75, 3: 1.0}
        >>> result.map_at_r
        0.75

        Two cameras; a query's own is left out:

        >>> evaluate(embeddings, [0, 0, 1, 1], leave_out=["a", "b", "a", "b"]).recall_at[1]
        0.75
    """
    for name, ranks in (("recall_at", recall_at), ("precision_at", precision_at)):
        if not all(1 <= k <= _LAST_RANK for k in ranks):
            raise ConfigError(f"{name} must hold ranks from 1 to {_LAST_RANK}, not {list(ranks)}.")
    if not 0 <= tolerance < np.inf:
        raise ConfigError(f"tolerance must be 0 or more, not {tolerance}.")
    if memory_budget < _SMALLEST_BUDGET:
        raise ConfigError(
            f"memory_budget must be at least {_SMALLEST_BUDGET} bytes, not {memory_budget}."
        )
    if products not in get_args(Products):
        raise ConfigError(f"products must be one of {get_args(Products)}, not {products!r}.")

    wanted = _wanted(recall_at, precision_at, mean_average_precision, metrics)
    needs = frozenset[str]().union(*(metric.needs for metric in wanted.values()))
    depths = {int(name.removeprefix("hits@")) for name in needs if name.startswith("hits@")}

    inputs = read_inputs(
        embeddings,
        labels,
        gallery,
        gallery_labels,
        self_index,
        ignore_labels=ignore_labels,
        leave_out=leave_out,
    )
    layout = lay_out(inputs)
    task = Task(
        layout=layout,
        comparison=compare(
            inputs,
            (layout.query_order, layout.gallery_order),
            as_distance(distance),
            tolerance=tolerance,
            memory=memory_budget // 2,
            products=products,
        ),
        precision_at=tuple(sorted(depths)),
        whole_ranking=bool(needs & {"whole_average_precision", "positive_ranks"}),
        keep_ranks="positive_ranks" in needs,
        memory=memory_budget // 2,
    )
    where = getattr(embeddings, "device", "cpu") if device is None else device
    figures = rank(task, where)
    per_query = _in_order(inputs, layout, figures)
    if inputs.exclusion is not None:
        per_query = without_left_out(
            per_query, inputs, inputs.exclusion, as_distance(distance), tolerance, task
        )
    elif gallery is not None and self_index is None:
        _warn_of_overlap(inputs)
    return summarise(per_query, inputs, wanted)


def _warn_of_overlap(inputs: Inputs) -> None:
    overlap = int(in_gallery(inputs).sum())
    if overlap:
        warnings.warn(
            f"{overlap} of {len(inputs.queries)} queries are in the gallery too: the same vector "
            "of the same class. If they are the same items, they find themselves: give each "
            "query's own row as self_index, or no gallery if both are one set. If they are other "
            "items, say so with self_index=np.full(len(queries), -1).",
            stacklevel=3,
        )


def _wanted(
    recall_at: Iterable[int],
    precision_at: Iterable[int],
    whole: bool,
    metrics: "Iterable[str] | Mapping[str, Metric]",
) -> dict[str, Metric]:
    """Return the metrics asked for by key.

    Raises:
        ConfigError: one is not known, or needs what no ranking gives.
    """
    keys = [f"recall@{k}" for k in recall_at] + [f"precision@{k}" for k in precision_at]
    keys += [*_ALWAYS, *(["mean_average_precision"] if whole else [])]
    theirs = metrics if isinstance(metrics, Mapping) else {}
    wanted = {key: metric for key in keys if (metric := find_metric(key))}
    for name in metrics:
        metric = theirs.get(name) or find_metric(name)
        if metric is None:
            raise ConfigError(f"There is no metric named {name!r}." + nearest(name, METRICS))
        unknown = [*metric.unknown_needs(), *({"correct"} & metric.needs)]
        if unknown:
            raise ConfigError(
                f"The metric {name!r} needs {', '.join(unknown)}, which a ranking does not give."
            )
        wanted[key_of(name)] = metric
    return wanted


def _in_order(inputs: Inputs, layout: ClassLayout, figures: Figures) -> PerQuery:
    """Return the figures in the order in which the queries were given."""

    def placed(values: np.ndarray) -> np.ndarray:
        result = np.zeros(len(inputs.labels), values.dtype)
        result[layout.query_order] = values
        return result

    relevant = placed(layout.relevant)
    others = len(inputs.gallery) - (inputs.self_index >= 0) - relevant
    whole = figures.whole_average_precision
    return PerQuery(
        relevant=relevant,
        negatives=np.where(relevant > 0, others, 0),
        best_rank=placed(figures.best_rank),
        hits=placed(figures.hits),
        average_precision=placed(figures.average_precision),
        ties=placed(figures.ties),
        hits_at={k: placed(hits) for k, hits in figures.hits_at.items()},
        whole_average_precision=None if whole is None else placed(whole),
        positive_ranks=_ranks_in_order(layout, figures.positive_ranks),
    )


def _ranks_in_order(layout: ClassLayout, ranks: np.ndarray | None) -> np.ndarray | None:
    """Return the ranks of each query's positives, query after query as they were given."""
    if ranks is None:
        return None
    given = np.argsort(layout.query_order)  # the place of each query in the layout
    starts, lengths = (np.cumsum(layout.relevant) - layout.relevant)[given], layout.relevant[given]
    within = np.arange(len(ranks)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    in_order: np.ndarray = ranks[np.repeat(starts, lengths) + within]
    return in_order
