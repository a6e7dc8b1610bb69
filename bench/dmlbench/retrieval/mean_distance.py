"""Mean cosine distance over all positive and all negative pairs, without forming the pairs."""

from collections.abc import Iterator
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

    The squared distances between n vectors sum to n times those from their mean, so O(N D)
    additions in float64 cover all N (N - 1) / 2 pairs, however close together the vectors lie. A
    zero vector has distance 1 to everything. A mean over no pairs is 0.

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
    member_of = np.unique(read_labels(labels, len(vectors), "labels"), return_inverse=True)[1]
    within, positive_pairs = _over_pairs(vectors, member_of)
    everything, pairs = _over_pairs(vectors, np.zeros(len(vectors), np.int64))
    negative_pairs = pairs - positive_pairs
    return MeanDistances(
        within / positive_pairs if positive_pairs else 0.0,
        (everything - within) / negative_pairs if negative_pairs else 0.0,
    )


def _over_pairs(vectors: np.ndarray, member_of: np.ndarray) -> tuple[float, int]:
    """Return the sum of cosine distances over all pairs within groups, and their number."""
    groups = int(member_of.max()) + 1
    size, means = np.bincount(member_of), np.zeros((groups, vectors.shape[1]))
    nonzero = np.zeros(groups)
    for rows in _parts(vectors):
        unit = unit_length(vectors[rows])
        np.add.at(means, member_of[rows], unit)
        nonzero += np.bincount(member_of[rows], unit.any(axis=1), groups)
    means /= np.maximum(nonzero, 1)[:, None]
    squares = np.zeros(groups)
    for rows in _parts(vectors):
        unit = unit_length(vectors[rows])
        from_mean = unit - means[member_of[rows]]
        square = np.einsum("ij,ij->i", from_mean, from_mean) * unit.any(axis=1)
        squares += np.bincount(member_of[rows], square, groups)
    pairs, nonzero_pairs = size * (size - 1) // 2, nonzero * (nonzero - 1) / 2
    with_zeros = float((pairs - nonzero_pairs).sum())
    return float((nonzero * squares).sum()) / 2 + with_zeros, int(pairs.sum())


def _parts(vectors: np.ndarray) -> Iterator[slice]:
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)
