"""`evaluate`: exact Recall@k, R-Precision and MAP@R of embeddings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.errors import ConfigError
from dmlbench.retrieval.inputs import read_inputs
from dmlbench.retrieval.result import RetrievalResult, summarise
from dmlbench.retrieval.rows import rank_by_rows

if TYPE_CHECKING:
    import torch

    from dmlbench.retrieval.inputs import Embeddings, Labels


def evaluate(
    embeddings: "Embeddings",
    labels: "Labels",
    gallery: "Embeddings | None" = None,
    gallery_labels: "Labels | None" = None,
    *,
    self_index: "Labels | None" = None,
    recall_at: Sequence[int] = (1, 10),
    distance: str = "cosine",
    tolerance: float = 1e-6,
    memory_budget: int = 256 * 2**20,
    device: "str | torch.device | None" = None,
) -> RetrievalResult:
    """Return the retrieval metrics of queries ``[Q, D]`` in a gallery ``[G, D]``.

    Args:
        embeddings: the queries; without a gallery each searches all the others.
        labels: their classes ``[Q]``.
        gallery: what is searched, if not the queries themselves.
        gallery_labels: its classes ``[G]``.
        self_index: each query's own place in the gallery ``[Q]``, -1 if it is not there.
        recall_at: the k of Recall@k.
        distance: how embeddings are compared.
        tolerance: negatives that are less similar than a positive by no more than this count as
            more similar. The default is above the float32 error of a product of unit vectors.
        memory_budget: bytes that the evaluation may use besides its inputs.
        device: where products are made; None means where the embeddings are.

    Raises:
        DataError: see `read_inputs`; or no query has a positive.
        ConfigError: an argument is out of range.
    """
    if not recall_at or min(recall_at) < 1:
        raise ConfigError(f"recall_at must name ranks of 1 or more, not {list(recall_at)}.")
    if not 0 <= tolerance < np.inf:
        raise ConfigError(f"tolerance must be 0 or more, not {tolerance}.")
    if distance != "cosine":
        raise ConfigError(f"Unknown distance {distance!r}.")
    inputs = read_inputs(embeddings, labels, gallery, gallery_labels, self_index)
    per_query = rank_by_rows(inputs, tolerance)
    return summarise(per_query, recall_at, len(inputs.gallery))
