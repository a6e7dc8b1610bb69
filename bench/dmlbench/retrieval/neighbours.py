"""The nearest neighbours themselves, to show or to vote."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.errors import ConfigError
from dmlbench.retrieval.distances import Distance, as_distance
from dmlbench.retrieval.engine.nearest import in_given_order, nearest, tie_groups
from dmlbench.retrieval.inputs import Inputs, read_embeddings, read_inputs

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings, Labels


@dataclass(frozen=True)
class Neighbours:
    """The nearest gallery items of each query, nearest first."""

    index: np.ndarray
    """Rows of the gallery ``[Q, k]`` (int64)."""
    similarity: np.ndarray
    """Their similarities ``[Q, k]`` (float64), larger is nearer: cosines, by default; half the
    negative squared distance, for distances."""


def nearest_neighbours(
    embeddings: "Embeddings",
    gallery: "Embeddings | None" = None,
    *,
    k: int = 10,
    self_index: "Labels | None" = None,
    distance: str | Distance = "cosine",
    memory_budget: int = 256 * 2**20,
) -> Neighbours:
    """Return the exact `k` nearest gallery items of each query; ties are in gallery order.

    Args:
        embeddings: queries ``[Q, D]``; without a gallery, each searches all the others.
        gallery: the items to search ``[G, D]``.
        k: neighbours per query.
        self_index: each query's own row in the gallery ``[Q]``, -1 if it is not there.
        distance: how to compare embeddings: a name or a `Distance`.
        memory_budget: bytes to use on top of inputs and result.

    Raises:
        DataError: see `read_inputs`.
        ConfigError: the gallery has fewer than `k` items to find.

    Example:
        >>> import numpy as np
        >>> from dmlbench.retrieval import nearest_neighbours
        >>> embeddings = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])  # [Q, D]
        >>> found = nearest_neighbours(embeddings, k=2)
        >>> found.index
        array([[1, 2],
               [0, 2],
               [1, 0]])
    """
    queries = read_embeddings(embeddings, "embeddings")
    no_labels = np.zeros(len(queries), np.int64)
    if gallery is None:
        inputs = read_inputs(queries, no_labels, self_index=self_index)
    else:
        items = read_embeddings(gallery, "gallery")
        inputs = read_inputs(queries, no_labels, items, np.zeros(len(items), int), self_index)
    check_k(k, inputs)
    index = np.empty((len(queries), k), np.int64)
    similarity = np.empty((len(queries), k))
    comparison = in_given_order(inputs, as_distance(distance), 0.0, memory_budget // 2)
    for found in nearest(inputs, comparison, k, memory_budget // 2):
        group = tie_groups(found.row, found.value, found.rounding)
        order = first_of_rows(np.lexsort((found.item, group)), found.row, k)
        index[found.queries] = found.item[order]
        similarity[found.queries] = comparison.similarity(found.value[order])
    return Neighbours(index, similarity)


def check_k(k: int, inputs: Inputs) -> None:
    """Refuse a `k` that exceeds the gallery items some query can find.

    Raises:
        ConfigError: it does, or is below 1.
    """
    available = len(inputs.gallery) - int((inputs.self_index >= 0).any())
    if not 1 <= k <= available:
        raise ConfigError(f"k must be from 1 to {available}, the items there are to find, not {k}.")


def first_of_rows(order: np.ndarray, row: np.ndarray, k: int) -> np.ndarray:
    """Return the first `k` entries of each row ``[rows, k]``.

    Args:
        order: of entries, row by row ``[n]``.
        row: the row of each entry, ascending ``[n]``; each has at least `k`.
        k: entries per row.
    """
    start = np.searchsorted(row, np.unique(row))
    first: np.ndarray = order[start[:, None] + np.arange(k)]
    return first
