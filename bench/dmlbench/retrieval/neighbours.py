"""The nearest neighbours themselves, to show or to vote."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.errors import ConfigError
from dmlbench.retrieval.distances import Distance, as_distance
from dmlbench.retrieval.engine.similarity_blocks import similarity_blocks
from dmlbench.retrieval.inputs import Inputs, read_embeddings, read_inputs

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings, Labels


@dataclass(frozen=True)
class Neighbours:
    """The nearest gallery items of each query, nearest first."""

    index: np.ndarray
    """Rows of the gallery ``[Q, k]`` (int64)."""
    similarity: np.ndarray
    """Their similarities ``[Q, k]`` (float32), larger is nearer; cosines, by default."""


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
    similarity = np.empty((len(queries), k), np.float32)
    for rows, block in similarity_blocks(inputs, as_distance(distance), memory_budget):
        index[rows] = largest(block, k)
        similarity[rows] = np.take_along_axis(block, index[rows], axis=1)
    return Neighbours(index, similarity)


def check_k(k: int, inputs: Inputs) -> None:
    """Refuse a `k` that exceeds the gallery items some query can find.

    Raises:
        ConfigError: it does, or is below 1.
    """
    available = len(inputs.gallery) - int((inputs.self_index >= 0).any())
    if not 1 <= k <= available:
        raise ConfigError(f"k must be from 1 to {available}, the items there are to find, not {k}.")


def largest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of each row's `k` largest entries, largest first; ties by column.

    Args:
        similarity: ``[b, G]``.
        k: entries per row.
    """
    limit = np.partition(similarity, similarity.shape[1] - k, axis=1)[:, -k]
    row, column = np.nonzero(similarity >= limit[:, None])
    order = np.lexsort((column, -similarity[row, column], row))
    first = np.searchsorted(row, np.arange(len(similarity)))
    columns: np.ndarray = column[order][first[:, None] + np.arange(k)]
    return columns
