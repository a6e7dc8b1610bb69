"""The figures of a record: from embeddings to retrieval metrics and results by query."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from dmlbench.compute.precision import Precision, in_use
from dmlbench.data.items import Items
from dmlbench.retrieval import Metric, RetrievalResult, evaluate, has_collapsed
from dmlbench.retrieval.metrics import in_order
from dmlbench.schemas.record import Array

RECORDED = ("r_precision", "map_at_r", "tied")
"""Metrics of every trial, with Recall@k for the k of its dataset."""

CPU = torch.device("cpu")


class Scored(NamedTuple):
    """What was retrieved, and whether the embeddings have collapsed."""

    result: RetrievalResult
    collapsed: bool


def score(
    tested: Sequence[Items],
    embeddings: Sequence[np.ndarray],
    recall_at: tuple[int, ...],
    *,
    precision: Precision,
    device: torch.device = CPU,
    metrics: Mapping[str, Metric] | None = None,
) -> Scored:
    """Return the metrics of test items among themselves, or of queries in a gallery.

    Embeddings that have collapsed get the figures of equal ones: every item of another class ranks
    ahead of every item of the query's own.

    Args:
        tested: test items; or queries and gallery.
        embeddings: of each of them ``[N, E]``.
        recall_at: ranks k of Recall@k.
        precision: of the network that made the embeddings.
        device: where metrics are computed if it is a GPU.
        metrics: more of them, by key.
    """
    measure: Callable[..., RetrievalResult] = evaluate
    if device.type == "cuda":
        measure = partial(evaluate, device=device)
    collapsed = has_collapsed(*embeddings, precision=in_use(precision, device))
    if collapsed:
        embeddings = [np.ones_like(each) for each in embeddings]
    asked: dict[str, Any] = {"recall_at": recall_at, "metrics": metrics or {}}
    if len(tested) == 1:
        return Scored(measure(embeddings[0], tested[0].labels, **asked), collapsed)
    (queries, gallery), labels = embeddings, [items.labels for items in tested]
    asked["self_index"] = np.full(len(queries), -1)  # the dataset says so, even of equal images
    return Scored(measure(queries, labels[0], gallery, labels[1], **asked), collapsed)


def recorded_metrics(result: RetrievalResult, more: Iterable[str] = ()) -> dict[str, float]:
    """Return the metrics that records hold, and those named in `more`, in the order of tables."""
    keys = {f"recall@{k}" for k in result.recall_at} | {*RECORDED, *more}
    return {key: result.metrics[key] for key in in_order(keys)}


def per_query(result: RetrievalResult, labels: np.ndarray) -> dict[str, Array]:
    """Return what records hold of each query, whose labels are ``[Q]``."""
    found = result.per_query
    return {
        "class": class_places(labels),
        "relevant": Array.pack(found.relevant.astype(np.int32)),
        "best_rank": Array.pack(found.best_rank.astype(np.int32)),
        "hits": Array.pack(found.hits.astype(np.int32)),
        "average_precision": Array.pack(found.average_precision.astype(np.float32)),
    }


def class_places(labels: np.ndarray) -> Array:
    """Return the place of each item's class among the sorted classes."""
    return Array.pack(np.unique(labels, return_inverse=True)[1].astype(np.int32))
