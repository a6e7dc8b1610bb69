"""Distances as pairs of maps, after which vectors are compared by one of three simple rules.

So any distance is searched at the speed of a matrix product. A `Distance` looks at the data once
(`fit`) and returns the maps of queries and gallery, with the rule; `DISTANCES` has the names.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from dmlbench.errors import ConfigError, DataError, nearest

Map = Callable[[np.ndarray], np.ndarray]
Rule = Literal["product", "distance", "angle"]
_BYTES_AT_ONCE = 4 * 2**20
_SAFE_SQUARE = 1e-200


@dataclass(frozen=True)
class Maps:
    """Maps from rows ``[n, D]`` to float64 rows ``[n, E]``, each row independently.

    The rule says what the similarity of a mapped query x and gallery item y is:

    - ``"product"``: x.y
    - ``"distance"``: -|(x - y) A|^2 / 2, A being `linear` or the identity
    - ``"angle"``: x.y of rows of length 1, which are the cosines; a row of zeros has similarity 0
      to everything

    Where distances decide, two rows are compared by their difference, which is exact however far
    from the origin they lie. Prefer these rules to a product that amounts to the same.
    """

    query: Map
    gallery: Map
    symmetric: bool = True
    """Whether similarity(a, b) equals similarity(b, a), so that half of the products suffice."""
    rule: Rule = "product"
    linear: np.ndarray | None = None
    """A ``[E, F]``, applied to differences of mapped rows."""


class Distance(ABC):
    """A way to compare embeddings.

    Example:
        >>> class InnerProduct(Distance):
        ...     name = "inner-product"
        ...
        ...     def fit(self, queries, gallery):
        ...         longest = max(np.linalg.norm(rows, axis=1).max() for rows in (queries, gallery))
        ...         scaled = lambda rows: rows.astype(np.float64) / longest
        ...         return Maps(scaled, scaled)
        >>> maps = InnerProduct().fit(np.array([[3.0, 4.0]]), np.array([[0.0, 5.0]]))
        >>> maps.query(np.array([[3.0, 4.0]])) @ maps.gallery(np.array([[0.0, 5.0]])).T
        array([[0.8]])
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Return the maps for these queries ``[Q, D]`` and this gallery ``[G, D]``.

        Raises:
            DataError: the distance is not defined for these vectors.
        """


class Cosine(Distance):
    """Similarity x.y / (|x| |y|). A zero vector has similarity 0 to everything.

    Example:
        >>> queries, gallery = np.array([[3.0, 4.0]]), np.array([[0.0, 2.0], [0.0, 0.0]])
        >>> maps = Cosine().fit(queries, gallery)
        >>> maps.query(queries) @ maps.gallery(gallery).T  # [Q, G]
        array([[0.8, 0. ]])
    """

    name = "cosine"

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Return the same maps for any data."""
        return Maps(unit_length, unit_length, rule="angle")


class Euclidean(Distance):
    """Similarity -|x - y|^2 / 2.

    Example:
        >>> from dmlbench.retrieval import nearest_neighbours
        >>> rows = np.array([[0.0], [1.0], [4.0], [-1.5]])
        >>> found = nearest_neighbours(rows[:1], rows[1:], k=3, distance="euclidean")
        >>> found.index
        array([[0, 2, 1]])
        >>> np.sqrt(-2 * found.similarity)  # distances
        array([[1. , 1.5, 4. ]])
    """

    name = "euclidean"

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Return the same maps for any data."""
        return Maps(_as_float64, _as_float64, rule="distance")


class Mahalanobis(Distance):
    """Euclidean distance after whitening: (x - y)^T C^-1 (x - y).

    Args:
        covariance: C ``[D, D]``, usually that of the training embeddings.
        shrinkage: share of the mean variance to add to every variance, so that a covariance
            of less than full rank (fewer items than dimensions) has an inverse.

    Example:
        >>> from dmlbench.retrieval import Mahalanobis, evaluate
        >>> train = np.random.default_rng(0).normal(size=(50, 2)) * [1, 100]  # [N, D]
        >>> test = np.array([[0.0, 0.0], [0.0, 50.0], [5.0, 0.0], [5.0, 50.0]])
        >>> by_first = np.array([0, 0, 1, 1])  # the classes differ where the variance is small
        >>> evaluate(test, by_first, distance=Mahalanobis.of(train), recall_at=(1,)).recall_at
        {1: 1.0}
        >>> evaluate(test, by_first, distance="euclidean", recall_at=(1,)).recall_at
        {1: 0.0}
    """

    name = "mahalanobis"

    def __init__(self, covariance: np.ndarray, *, shrinkage: float = 1e-6) -> None:
        square = np.asarray(covariance, dtype=np.float64)
        if square.ndim != 2 or square.shape[0] != square.shape[1]:
            raise DataError(f"A covariance must have the shape [D, D], not {list(square.shape)}.")
        if not np.isfinite(square).all() or not np.allclose(square, square.T):
            raise DataError("A covariance must be finite and symmetric.")
        variances, axes = np.linalg.eigh(square)
        if variances[-1] <= 0 or variances[0] < -1e-6 * variances[-1]:
            raise DataError("A covariance must be positive semi-definite and not zero.")
        variances = variances.clip(min=0) + shrinkage * variances.mean()
        if variances[0] <= 0:
            raise DataError("The covariance has no inverse: set shrinkage above 0.")
        self.whitening: np.ndarray = axes / np.sqrt(variances)

    @classmethod
    def of(cls, embeddings: np.ndarray, *, shrinkage: float = 1e-6) -> "Mahalanobis":
        """Return the distance for the covariance of `embeddings` ``[N, D]`` (training ones)."""
        covariance = np.cov(np.asarray(embeddings, dtype=np.float64), rowvar=False)
        return cls(np.atleast_2d(covariance), shrinkage=shrinkage)

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Whiten, then proceed as `Euclidean`.

        Raises:
            DataError: the vectors and the covariance differ in dimension.
        """
        if queries.shape[1] != len(self.whitening):
            raise DataError(
                f"The covariance is for {len(self.whitening)} dimensions, "
                f"the embeddings have {queries.shape[1]}."
            )
        return Maps(_as_float64, _as_float64, rule="distance", linear=self.whitening)


class Matusita(Distance):
    """Matusita (Hellinger) distance of distributions: sqrt(sum (sqrt(p) - sqrt(q))^2).

    It falls as the affinity sum(sqrt(p q)) rises, which is the inner product of square roots.
    Vectors must be non-negative and are normalised to sum to 1.

    Example:
        >>> p, q = np.array([[1.0, 1.0]]), np.array([[8.0, 2.0]])
        >>> maps = Matusita().fit(p, q)
        >>> affinity = maps.query(p) @ maps.gallery(q).T
        >>> np.round(2 - 2 * affinity, 4)  # the squared distance
        array([[0.1026]])
    """

    name = "matusita"

    def fit(self, queries: np.ndarray, gallery: np.ndarray) -> Maps:
        """Check that the vectors are distributions, up to scale."""
        _check_distributions(queries, gallery, self.name)
        return Maps(_root_of_distribution, _root_of_distribution, rule="angle")


class Bhattacharyya(Matusita):
    """Bhattacharyya distance of distributions: -log sum(sqrt(p q)).

    On normalised distributions it falls as the affinity of `Matusita` rises: the two rank alike.

    Example:
        >>> p, q = np.array([[1.0, 1.0]]), np.array([[8.0, 2.0]])
        >>> maps = Bhattacharyya().fit(p, q)
        >>> np.round(-np.log(maps.query(p) @ maps.gallery(q).T), 4)
        array([[0.0527]])
    """

    name = "bhattacharyya"


class KullbackLeibler(Distance):
    """Divergence of a query p from a gallery item q: sum p log(p / q).

    Vectors must be non-negative and are normalised to sum to 1.

    Args:
        epsilon: what to add to every component before normalising again, so that no q is 0.

    Example:
        >>> from dmlbench.retrieval import KullbackLeibler, nearest_neighbours
        >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> nearest_neighbours(p, q, k=3, distance=KullbackLeibler()).index
        array([[2, 1, 0]])
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
    """Return the distance called `distance`; a `Distance` is returned unchanged.

    Raises:
        ConfigError: there is no such distance.
    """
    if isinstance(distance, Distance):
        return distance
    if distance == Mahalanobis.name:
        raise ConfigError(
            "The Mahalanobis distance needs a covariance: in Python, pass "
            "distance=Mahalanobis.of(train_embeddings)."
        )
    if distance not in DISTANCES:
        raise ConfigError(f"There is no distance {distance!r}.{nearest(distance, DISTANCES)}")
    return DISTANCES[distance]()


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Return rows scaled to length 1 in float64; zero rows stay zero."""
    exact = rows.astype(np.float64)
    squares = np.einsum("ij,ij->i", exact, exact)
    unsafe = np.flatnonzero(~((squares > _SAFE_SQUARE) & (squares < 1 / _SAFE_SQUARE)))
    if len(unsafe):  # the squares of huge or tiny vectors leave the range: rescale these first
        largest = np.abs(exact[unsafe]).max(axis=1, keepdims=True)
        exact[unsafe] /= np.where(largest > 0, largest, 1)
        squares[unsafe] = np.einsum("ij,ij->i", exact[unsafe], exact[unsafe])
    length = np.sqrt(squares)
    length[length == 0] = 1
    exact /= length[:, None]
    return exact


def _as_float64(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float64)


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
