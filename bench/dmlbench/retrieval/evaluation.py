"""`evaluate`: exact Recall@k, R-Precision, MAP@R and more of embeddings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.errors import ConfigError
from dmlbench.retrieval.distances import Distance, as_distance
from dmlbench.retrieval.inputs import Inputs, read_inputs
from dmlbench.retrieval.layout import lay_out
from dmlbench.retrieval.products import Products, multiplier
from dmlbench.retrieval.result import PerQuery, RetrievalResult, summarise
from dmlbench.retrieval.rows import rank_by_rows
from dmlbench.retrieval.task import Figures, Task
from dmlbench.retrieval.tiles import LARGEST_TILE, rank_by_tiles
from dmlbench.retrieval.vectors import MappedVectors

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
    precision_at: Sequence[int] = (),
    mean_average_precision: bool = False,
    distance: str | Distance = "cosine",
    tolerance: float = 1e-6,
    memory_budget: int = 256 * 2**20,
    device: "str | torch.device | None" = None,
    products: Products = "numpy",
) -> RetrievalResult:
    """Return the retrieval metrics of queries ``[Q, D]`` in a gallery ``[G, D]``.

    The result repeats to the bit for the same inputs and the same `memory_budget` on the same
    machine, however many threads work.

    Args:
        embeddings: the queries; without a gallery each searches all the others.
        labels: their classes ``[Q]``.
        gallery: what is searched, if not the queries themselves.
        gallery_labels: its classes ``[G]``.
        self_index: each query's own place in the gallery ``[Q]``, -1 if it is not there.
        recall_at: the k of Recall@k.
        precision_at: the k of precision@k.
        mean_average_precision: also rank every positive; takes several times longer.
        distance: how embeddings are compared: a name or a `Distance`.
        tolerance: negatives that are less similar than a positive by no more than this count as
            more similar. The default is above the float32 error of a product of unit vectors.
        memory_budget: bytes to use besides the inputs and about 200 bytes an item.
        device: where products are made; None means where the embeddings are.
        products: whose matrix products to use on a CPU.

    Raises:
        DataError: see `read_inputs`; or no query has a positive.
        ConfigError: an argument is out of range.
    """
    for name, ranks in (("recall_at", recall_at), ("precision_at", precision_at)):
        if any(k < 1 for k in ranks):
            raise ConfigError(f"{name} must name ranks of 1 or more, not {list(ranks)}.")
    if not 0 <= tolerance < np.inf:
        raise ConfigError(f"tolerance must be 0 or more, not {tolerance}.")
    inputs = read_inputs(embeddings, labels, gallery, gallery_labels, self_index)
    maps = as_distance(distance).fit(inputs.queries, inputs.gallery)
    layout = lay_out(inputs)
    symmetric = inputs.symmetric and maps.symmetric
    kept = memory_budget // 4
    queries = MappedVectors(inputs.queries, layout.query_order, maps.query, kept)
    gallery_rows = (
        queries
        if symmetric and maps.query is maps.gallery
        else MappedVectors(inputs.gallery, layout.gallery_order, maps.gallery, kept)
    )
    task = Task(
        layout=layout,
        queries=queries,
        gallery=gallery_rows,
        symmetric=symmetric,
        tolerance=tolerance,
        precision_at=tuple(precision_at),
        whole_ranking=mean_average_precision,
        multiply=multiplier(products),
        memory=memory_budget // 2,
    )
    figures = _choose_engine(task)
    return summarise(
        _in_order(inputs, layout.query_order, layout.relevant, figures), inputs.labels, recall_at
    )


def _choose_engine(task: Task) -> Figures:
    largest = int(task.layout.class_size.max())
    edge = min(LARGEST_TILE, int((task.memory // 20) ** 0.5))
    listed = int(task.depth.sum())
    if task.whole_ranking or largest > edge or listed > task.memory // 64:
        return rank_by_rows(task)
    return rank_by_tiles(task, edge)


def _in_order(
    inputs: Inputs, order: np.ndarray, relevant: np.ndarray, figures: Figures
) -> PerQuery:
    """Return the figures in the order in which the queries were given."""

    def placed(values: np.ndarray) -> np.ndarray:
        result = np.zeros(len(inputs.labels), values.dtype)
        result[order] = values
        return result

    own = inputs.self_index >= 0
    all_relevant = placed(relevant)
    whole = figures.whole_average_precision
    return PerQuery(
        relevant=all_relevant,
        negatives=np.where(all_relevant > 0, len(inputs.gallery) - own - all_relevant, 0),
        best_rank=placed(figures.best_rank),
        hits=placed(figures.hits),
        average_precision=placed(figures.average_precision),
        ties=placed(figures.ties),
        hits_at={k: placed(hits) for k, hits in figures.hits_at.items()},
        whole_average_precision=None if whole is None else placed(whole),
    )
