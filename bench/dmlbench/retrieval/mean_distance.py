"""Mean cosine distance over all positive and all negative pairs, without forming the pairs."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmlbench.retrieval.distances import unit_length
from dmlbench.retrieval.inputs import read_embeddings
from dmlbench.retrieval.labels import read_labels

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings, Labels

_ROWS_AT_ONCE = 4096


class MeanDistances(NamedTuple):
    """Mean of 1 - cosine over pairs of one class, and over pairs of two classes."""

    positive: float
    negative: float


def mean_distances(embeddings: "Embeddings", labels: "Labels") -> MeanDistances:
    """Return the mean cosine distances of positive and of negative pairs, each pair once.

    The similarities within a class sum to the squared length of the sum of its unit vectors, so
    O(N D) additions in float64 cover all N (N - 1) / 2 pairs. A zero vector has similarity 0 to
    everything. A mean over no pairs is 0.

    Args:
        embeddings: ``[N, D]``.
        labels: classes ``[N]``.

    Raises:
        DataError: the input is empty or not finite, or the lengths differ.

    Example:
        >>> import numpy as np
        >>> from dmlbench.retrieval import mean_distances
        >>> embeddings = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])  # [N, D]
        >>> mean_distances(embeddings, np.array([0, 0, 1]))
        MeanDistances(positive=0.0, negative=1.0)
    """
    vectors = read_embeddings(embeddings, "embeddings")
    classes, member_of, size = np.unique(
        read_labels(labels, len(vectors), "labels"), return_inverse=True, return_counts=True
    )
    class_sum = np.zeros((len(classes), vectors.shape[1]))
    own_similarity = 0.0
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        unit = unit_length(vectors[start : start + _ROWS_AT_ONCE])
        own_similarity += float((unit * unit).sum())
        np.add.at(class_sum, member_of[start : start + _ROWS_AT_ONCE], unit)
    within = float((class_sum**2).sum())
    everything = float((class_sum.sum(axis=0) ** 2).sum())
    positive_pairs = int((size * (size - 1)).sum())
    negative_pairs = len(vectors) * (len(vectors) - 1) - positive_pairs
    return MeanDistances(
        1 - (within - own_similarity) / positive_pairs if positive_pairs else 0.0,
        1 - (everything - within) / negative_pairs if negative_pairs else 0.0,
    )
