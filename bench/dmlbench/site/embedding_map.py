"""A map of the test embeddings in two dimensions, points coloured by class."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.site.kept_embeddings import Embedded

POINTS = 1000
CLASSES = 20
"""Classes that have a colour and a name; the points of others are grey."""

_FEWEST = 30
"""Fewer points than this have too few neighbours for t-SNE."""

_Projection = Callable[[np.ndarray], tuple[np.ndarray, str]]
"""From rows ``[n, E]`` to positions ``[n, 2]`` and the name of the method."""


def principal_map(embedded: Embedded) -> dict[str, Any]:
    """Return the first two principal components of unit-length embeddings; takes milliseconds."""
    return _map(embedded, _principal)


def neighbour_map(embedded: Embedded) -> dict[str, Any]:
    """Return t-SNE of unit-length embeddings, which keeps neighbours together; takes seconds."""
    few = len(embedded.queries) < _FEWEST
    return _map(embedded, _principal if few else _by_neighbours)


def _principal(rows: np.ndarray) -> tuple[np.ndarray, str]:
    from sklearn.decomposition import PCA

    found = PCA(2, svd_solver="full").fit(rows)
    share = 100 * found.explained_variance_ratio_.sum()
    return found.transform(rows), f"principal components, which hold {share:.0f} % of the variance"


def _by_neighbours(rows: np.ndarray) -> tuple[np.ndarray, str]:
    from sklearn.manifold import TSNE

    perplexity = min(30, len(rows) // 4)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=0, max_iter=500)
    meaning = "only who lies beside whom means something"
    return found.fit_transform(rows), f"t-SNE, perplexity {perplexity}, seed 0: {meaning}"


def _map(embedded: Embedded, project: _Projection) -> dict[str, Any]:
    """Return points ``[x, y, class]``, the class as its index among the names."""
    rows, labels = _sample(embedded)
    collapsed = np.ptp(rows, axis=0).max() < 1e-6
    places, method = (
        (np.zeros((len(rows), 2)), "nothing: all are alike") if collapsed else project(rows)
    )
    places = places - places.mean(axis=0)
    places = places / (np.abs(places).max() or 1.0)
    classes = np.unique(labels)
    return {
        "method": method,
        "classes": [plain(embedded.class_names[label]) for label in classes],
        "named": CLASSES,
        "of": len(embedded.queries),
        "points": [
            [round(float(x), 3), round(float(y), 3), int(number)]
            for (x, y), number in zip(places, np.searchsorted(classes, labels), strict=True)
        ],
    }


def _sample(embedded: Embedded) -> tuple[np.ndarray, np.ndarray]:
    """Return at most that many unit-length embeddings, evenly spaced in the order of queries."""
    count = min(POINTS, len(embedded.queries))
    index = np.arange(count) * len(embedded.queries) // count
    rows = embedded.queries[index].astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, 1)
    if rows.shape[1] < 2:
        rows = np.hstack([rows, np.zeros_like(rows)])
    return rows, embedded.query_items.labels[index]
