"""Accuracy of the k-nearest-neighbour vote."""

from typing import TYPE_CHECKING

import numpy as np

from dmlbench.retrieval.distances import Distance, as_distance
from dmlbench.retrieval.engine.nearest import in_given_order, nearest, tie_groups
from dmlbench.retrieval.inputs import read_inputs
from dmlbench.retrieval.neighbours import check_k, first_of_rows

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings, Labels


def knn_accuracy(
    embeddings: "Embeddings",
    labels: "Labels",
    gallery: "Embeddings | None" = None,
    gallery_labels: "Labels | None" = None,
    *,
    k: int = 5,
    self_index: "Labels | None" = None,
    distance: str | Distance = "cosine",
    tolerance: float = 0.0,
    memory_budget: int = 256 * 2**20,
) -> float:
    """Return the share of all queries whose class wins the vote of their `k` nearest neighbours.

    Where classes have equally many votes, the one with the nearest neighbour wins. Neighbours of
    the query's own class come after others that tie with them, so a constant embedding gains
    nothing. With k = 1 this is Recall@1 with lone queries counted as wrong.

    Args:
        embeddings: queries ``[Q, D]``; without a gallery, all the others vote on each.
        labels: their classes ``[Q]``.
        gallery: the labelled items that vote ``[G, D]``.
        gallery_labels: their classes ``[G]``.
        k: neighbours that vote.
        self_index: each query's own row in the gallery ``[Q]``, -1 if it is not there.
        distance: how to compare embeddings: a name or a `Distance`.
        tolerance: see `evaluate`.
        memory_budget: bytes to use on top of the inputs.

    Raises:
        DataError: see `read_inputs`.
        ConfigError: the gallery has fewer than `k` voters.

    Example:
        >>> import numpy as np
        >>> from dmlbench.retrieval import knn_accuracy
        >>> gallery = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])  # [G, D]
        >>> queries = np.array([[0.8, 0.3], [0.4, 0.6]])  # [Q, D]
        >>> knn_accuracy(queries, np.array([7, 9]), gallery, np.array([7, 7, 9]), k=1)
        1.0
        >>> knn_accuracy(queries, np.array([7, 9]), gallery, np.array([7, 7, 9]), k=3)
        0.5
    """
    inputs = read_inputs(embeddings, labels, gallery, gallery_labels, self_index)
    check_k(k, inputs)
    right = 0
    comparison = in_given_order(inputs, as_distance(distance), tolerance, memory_budget // 2)
    for found in nearest(inputs, comparison, k, memory_budget // 2):
        own_class = inputs.labels[found.queries]
        label = inputs.gallery_labels[found.item]
        positive = label == own_class[found.row]
        value = found.value - comparison.tolerance * positive
        group = tie_groups(found.row, value, found.rounding)
        order = first_of_rows(np.lexsort((found.item, positive, group)), found.row, k)
        voters = label[order]
        votes = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)
        winner = np.take_along_axis(voters, votes.argmax(axis=1)[:, None], axis=1)
        right += int((winner == own_class[:, None]).sum())
    return right / len(inputs.labels)
