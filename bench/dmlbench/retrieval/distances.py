"""Distances as pairs of maps, after which a larger inner product means a smaller distance.

So every distance is searched at the speed of a matrix product. A `Distance` looks once at the data
(`fit`) and returns the maps of queries and gallery; see `DISTANCES` for the names.

Mapped vectors are scaled so that similarities stay within about -1 to 1, whatever the unit of the
embeddings: the tolerance of ties is in that unit.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dmlbench.errors import ConfigError, DataError, nearest

Map = Callable[[np.ndarray], np.ndarray]
_BYTES_AT_ONCE = 4 * 2**20
# A spread below this share of the vectors' length is rounding, not distance.
_SMALLEST_SPREAD = 1e-7
_SAFE_SQUARE = 1e-200


@dataclass(frozen=True)
class Maps:
    """Maps of rows ``[n, D]`` to float64 rows ``[n, E]``, each row by itself."""

    query: Map
    gallery: Map
    symmetric: bool = True
    """Whether similarity(a, b) equals similarity(b, a), so that half of the products do."""


class Distance(ABC):
    """A way to compare embeddings."""

    name: ClassVar[str]

    @abstractmethod
    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Return the maps for these queries ``[Q, D]`` and this gallery ``[G, D]``.

        Raises:
            DataError: the distance is not defined for these vectors.
        """


class Cosine(Distance):
    """Similarity x.y / (|x| |y|). A vector of zeros is similar to nothing: 0 to everything."""

    name = "cosine"

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Need nothing of the data."""
        return Maps(unit_length, unit_length)


class Euclidean(Distance):
    """Similarity -|x - y|^2 / (2 s^2), s the largest distance of a vector from the mean.

    As an inner product: (x, -|x|^2 / 2, 1) . (y, 1, -|y|^2 / 2) of centred and scaled vectors.
    """

    name = "euclidean"

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Centre at the gallery's mean, scale by the largest length left."""
        return _euclidean_maps(queries, gallery, np.asarray)


class Mahalanobis(Distance):
    """Euclidean distance after whitening: (x - y)^T C^-1 (x - y).

    Args:
        covariance: C ``[D, D]``, commonly that of the training embeddings.
        shrinkage: share of the mean variance added to every variance, so that a covariance
            without full rank (fewer items than dimensions) has an inverse.
    """

    name = "mahalanobis"

    def __init__(self, covariance: np.ndarray, *, shrinkage: float = 1e-6) -> None:
        square = np.asarray(covariance, dtype=np.float64)
        if square.ndim != 2 or square.shape[0] != square.shape[1]:
            raise DataError(f"A covariance has the shape [D, D], not {list(square.shape)}.")
        if not np.isfinite(square).all() or not np.allclose(square, square.T):
            raise DataError("A covariance must be finite and symmetric.")
        variances, axes = np.linalg.eigh(square)
        if variances[-1] <= 0 or variances[0] < -1e-6 * variances[-1]:
            raise DataError("A covariance must be positive semi-definite and not zero.")
        variances = variances.clip(min=0) + shrinkage * variances.mean()
        if variances[0] <= 0:
            raise DataError("The covariance has no inverse: give it a shrinkage above 0.")
        self.whitening: np.ndarray = axes / np.sqrt(variances)

    @classmethod
    def of(cls, embeddings: np.ndarray, *, shrinkage: float = 1e-6) -> "Mahalanobis":
        """Return the distance by the covariance of `embeddings` ``[N, D]`` (training ones)."""
        covariance = np.cov(np.asarray(embeddings, dtype=np.float64), rowvar=False)
        return cls(np.atleast_2d(covariance), shrinkage=shrinkage)

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Whiten, then as Euclidean.

        Raises:
            DataError: the vectors have another dimension than the covariance.
        """
        if queries.shape[1] != len(self.whitening):
            raise DataError(
                f"The covariance is for {len(self.whitening)} dimensions, "
                f"the embeddings have {queries.shape[1]}."
            )
        return _euclidean_maps(queries, gallery, lambda rows: rows @ self.whitening)


class Matusita(Distance):
    """Matusita (Hellinger) distance of distributions: sqrt(sum (sqrt(p) - sqrt(q))^2).

    It falls as the affinity sum(sqrt(p q)) rises, which is the inner product of square roots.
    Vectors must not be negative and are normalised to sum 1.
    """

    name = "matusita"

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Check that the vectors are distributions up to scale."""
        _check_distributions(queries, gallery, self.name)
        return Maps(_root_of_distribution, _root_of_distribution)


class Bhattacharyya(Matusita):
    """Bhattacharyya distance of distributions: -log sum(sqrt(p q)).

    On normalised distributions it falls with the same affinity as Matusita's: the two rank alike.
    """

    name = "bhattacharyya"


class KullbackLeibler(Distance):
    """Divergence of a query p from a gallery item q: sum p log(p / q).

    Vectors must not be negative and are normalised to sum 1.

    Args:
        epsilon: added to every component before the normalisation, so that no q is 0.
    """

    name = "kullback-leibler"

    def __init__(self, epsilon: float = 1e-10) -> None:
        if not epsilon > 0:
            raise ConfigError(f"epsilon must be above 0, not {epsilon}.")
        self.epsilon = epsilon

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Check the vectors, and scale by the longest mapped gallery vector.

        As an inner product: (p, -sum p (log p - m)) . (log q - m, 1), m the gallery's mean log q.
        """
        _check_distributions(queries, gallery, self.name)

        total = sum(
            np.log(_distribution(rows, self.epsilon)).sum(axis=0) for rows in _parts(gallery)
        )
        mean = total / len(gallery)

        def query_map(rows: np.ndarray) -> np.ndarray:
            p = _distribution(rows, self.epsilon)
            return np.hstack([p, -(p * (np.log(p) - mean)).sum(axis=1, keepdims=True)])

        def log_map(rows: np.ndarray) -> np.ndarray:
            logs = np.log(_distribution(rows, self.epsilon))
            return np.hstack([logs - mean, np.ones((len(rows), 1))])

        longest = max(
            float(np.linalg.norm(log_map(rows), axis=1).max()) for rows in _parts(gallery)
        )
        return Maps(query_map, lambda rows: log_map(rows) / longest, symmetric=False)


DISTANCES: dict[str, type[Distance]] = {
    distance.name: distance
    for distance in (Cosine, Euclidean, Matusita, Bhattacharyya, KullbackLeibler)
}


def as_distance(distance: str | Distance) -> Distance:
    """Return the distance of a name; a `Distance` is returned as it is.

    Raises:
        ConfigError: there is no such distance.
    """
    if isinstance(distance, Distance):
        return distance
    if distance == Mahalanobis.name:
        raise ConfigError(
            "The Mahalanobis distance needs a covariance: in Python, pass "
            "Mahalanobis.of(train_embeddings)."
        )
    if distance not in DISTANCES:
        raise ConfigError(f"There is no distance {distance!r}.{nearest(distance, DISTANCES)}")
    return DISTANCES[distance]()


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Return rows of length 1 in float64; rows of zeros stay zeros."""
    exact = rows.astype(np.float64)
    squares = np.einsum("ij,ij->i", exact, exact)
    lost = np.flatnonzero(~((squares > _SAFE_SQUARE) & (squares < 1 / _SAFE_SQUARE)))
    if len(lost):  # squares of huge or tiny vectors leave the range: bring these to size first
        largest = np.abs(exact[lost]).max(axis=1, keepdims=True)
        exact[lost] /= np.where(largest > 0, largest, 1)
        squares[lost] = np.einsum("ij,ij->i", exact[lost], exact[lost])
    length = np.sqrt(squares)
    length[length == 0] = 1
    exact /= length[:, None]
    return exact


def _euclidean_maps(queries: np.ndarray, gallery: np.ndarray, transform: Map) -> Maps:
    def exact(rows: np.ndarray) -> np.ndarray:
        return transform(rows.astype(np.float64))

    longest = spread = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        centre = sum(exact(rows).sum(axis=0) for rows in _parts(gallery)) / len(gallery)
        for part in (*_parts(gallery), *(_parts(queries) if queries is not gallery else ())):
            rows = exact(part)
            longest = max(longest, float(np.linalg.norm(rows, axis=1).max()))
            spread = max(spread, float(np.linalg.norm(rows - centre, axis=1).max()))
    if not np.isfinite(spread):
        raise DataError("The embeddings are too large: their squares leave the range of float64.")
    scale = max(spread, _SMALLEST_SPREAD * longest) or 1.0

    def with_norms(rows: np.ndarray, norm_first: bool) -> np.ndarray:
        near = (exact(rows) - centre) / scale
        half = (near * near).sum(axis=1, keepdims=True) / 2
        one = np.ones_like(half)
        return np.hstack([near, -half, one] if norm_first else [near, one, -half])

    return Maps(lambda rows: with_norms(rows, True), lambda rows: with_norms(rows, False))


def _distribution(rows: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    exact = rows.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    exact += epsilon
    exact /= exact.sum(axis=1, keepdims=True)
    return exact


def _root_of_distribution(rows: np.ndarray) -> np.ndarray:
    roots: np.ndarray = np.sqrt(_distribution(rows))
    return roots


def _check_distributions(queries: np.ndarray, gallery: np.ndarray, name: str) -> None:
    for vectors in (queries,) if queries is gallery else (queries, gallery):
        start = 0
        for rows in _parts(vectors):
            wrong = (rows < 0).any(axis=1) | (rows == 0).all(axis=1)
            if wrong.any():
                raise DataError(
                    f"The {name} distance compares distributions: row "
                    f"{start + int(np.argmax(wrong))} has a negative component or only zeros."
                )
            start += len(rows)


def _parts(vectors: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _BYTES_AT_ONCE // (8 * vectors.shape[1]))
    for start in range(0, len(vectors), step):
        yield vectors[start : start + step]
