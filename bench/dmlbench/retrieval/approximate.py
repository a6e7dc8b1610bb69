"""Approximate search for galleries too large for an exact one, with its own error stated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dmlbench.errors import ConfigError
from dmlbench.retrieval.distances import Cosine, unit_length
from dmlbench.retrieval.engine.comparison import Comparison
from dmlbench.retrieval.engine.layout import lay_out
from dmlbench.retrieval.engine.nearest import in_given_order
from dmlbench.retrieval.inputs import Inputs, read_inputs
from dmlbench.retrieval.neighbours import check_k, nearest_neighbours

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings, Labels

_ROWS_AT_ONCE = 4096
_OWN = -2
_ITEMS_PER_LIST = 39  # with fewer, faiss warns that its lists are poorly trained


@dataclass(frozen=True)
class ApproximateResult:
    """Recall@k among the neighbours that an index found, and how many it missed."""

    recall_at: dict[int, float]
    """k -> share of the scored queries with a positive among the first k found."""
    neighbour_recall: float
    """Share of the exact nearest neighbours that the index also found, on a sample of queries."""
    sampled_queries: int
    queries: int
    lone_queries: int
    index: str
    """faiss's description of the index, and its search effort."""


def evaluate_approximately(
    embeddings: "Embeddings",
    labels: "Labels",
    gallery: "Embeddings | None" = None,
    gallery_labels: "Labels | None" = None,
    *,
    recall_at: Sequence[int] = (1, 10),
    self_index: "Labels | None" = None,
    method: Literal["ivf", "hnsw"] = "ivf",
    effort: int = 32,
    sample: int = 1000,
    tolerance: float = 0.0,
    seed: int = 0,
) -> ApproximateResult:
    """Return Recall@k by cosine from an approximate faiss index, together with its error.

    Args:
        embeddings: queries ``[Q, D]``; without a gallery, each searches all the others.
        labels: their classes ``[Q]``.
        gallery: the items to search ``[G, D]``.
        gallery_labels: their classes ``[G]``.
        recall_at: values of k for Recall@k.
        self_index: each query's own row in the gallery ``[Q]``, -1 if it is not there.
        method: inverted lists ("ivf"), or a navigable small-world graph ("hnsw").
        effort: lists to probe (there are about 4 sqrt(G)), or width of the search in the graph.
        sample: queries on which the index is compared with an exact search.
        tolerance: see `evaluate`; ties are decided as there. Where the last neighbour found ties
            with the best positive, more are fetched.
        seed: of the sample.

    Raises:
        DataError: see `read_inputs`; or no query has a positive.
        ConfigError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dmlbench.retrieval import evaluate_approximately
        >>> embeddings = np.random.default_rng(0).normal(size=(100, 8))  # [Q, D]
        >>> embeddings[:, 0] += 20 * (np.arange(100) % 2)
        >>> result = evaluate_approximately(embeddings, np.arange(100) % 2, recall_at=(1,))
        >>> result.recall_at, result.neighbour_recall
        ({1: 1.0}, 1.0)
        >>> result.index
        'IVF2,Flat, nprobe 2'
    """
    if not recall_at or min(recall_at) < 1 or effort < 1 or sample < 1:
        raise ConfigError("recall_at, effort and sample must all be 1 or more.")
    inputs = read_inputs(embeddings, labels, gallery, gallery_labels, self_index)
    check_k(max(recall_at), inputs)
    layout = lay_out(inputs)
    scored = layout.query_order[layout.relevant > 0]
    index, description = _build(unit_length(inputs.gallery).astype(np.float32), method, effort)
    comparison = in_given_order(inputs, Cosine(), tolerance, 0)
    every = np.arange(len(inputs.queries))
    found = _search(index, inputs, every, min(max(recall_at) + 2, len(inputs.gallery)))
    rank = _best_ranks(index, inputs, comparison, found)[scored]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(found))[:sample])
    return ApproximateResult(
        recall_at={k: float(np.mean(rank <= k)) for k in recall_at},
        neighbour_recall=_neighbour_recall(inputs, found, chosen, max(recall_at)),
        sampled_queries=len(chosen),
        queries=len(found),
        lone_queries=len(found) - len(scored),
        index=description,
    )


def _build(vectors: np.ndarray, method: str, effort: int) -> tuple[Any, str]:
    """Return a trained faiss index of unit vectors ``[G, D]`` and its description."""
    import faiss

    lists = max(1, min(int(4 * len(vectors) ** 0.5), len(vectors) // _ITEMS_PER_LIST))
    known = {"ivf": f"IVF{lists},Flat", "hnsw": "HNSW32,Flat"}
    if method not in known:
        raise ConfigError(f"method must be one of {sorted(known)}, not {method!r}.")
    index: Any = faiss.index_factory(vectors.shape[1], known[method], faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    if method == "ivf":
        index.nprobe = min(effort, lists)
        return index, f"{known[method]}, nprobe {index.nprobe}"
    index.hnsw.efSearch = effort
    return index, f"{known[method]}, efSearch {effort}"


def _search(index: Any, inputs: Inputs, queries: np.ndarray, k: int) -> np.ndarray:
    """Return the rows of `k` neighbours ``[n, k]``, -1 for none, -2 for the query's own."""
    parts = [
        index.search(unit_length(inputs.queries[rows]).astype(np.float32), k)[1]
        for rows in np.array_split(queries, -(-len(queries) // _ROWS_AT_ONCE))
    ]
    found = np.concatenate(parts)
    return np.where(found == inputs.self_index[queries, None], _OWN, np.maximum(found, -1))


def _best_ranks(
    index: Any, inputs: Inputs, comparison: Comparison, found: np.ndarray
) -> np.ndarray:
    """Return the rank of each query's best positive ``[Q]``, beyond every k if it was not found.

    While the last item found ties with the best positive, negatives may be missing that tie too.
    """
    rank = np.empty(len(found), np.int64)
    queries, k = np.arange(len(found)), found.shape[1]
    while len(queries):
        rank[queries], cut_off = _ranked(inputs, comparison, queries, found)
        queries = queries[cut_off] if k < len(inputs.gallery) else queries[:0]
        k = min(4 * k, len(inputs.gallery))
        found = _search(index, inputs, queries, k) if len(queries) else found
    return rank


def _ranked(
    inputs: Inputs, comparison: Comparison, queries: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank of each query's best positive ``[n]``, and whether the last found ties."""
    row, place = np.nonzero(found >= 0)
    exact = comparison.exact(queries[row], found[row, place])
    high, low = np.full((2, *found.shape), -np.inf)
    high[row, place] = exact.value + exact.rounding
    low[row, place] = exact.value - exact.rounding
    same = (inputs.gallery_labels[found] == inputs.labels[queries, None]) & (found >= 0)
    best = np.where(same, low, -np.inf).max(axis=1) - comparison.tolerance
    as_near = (high >= best[:, None]) & (found >= 0)
    rank = (as_near & ~same).sum(axis=1) + 1
    any_found = np.isfinite(best)
    cut_off = any_found & (as_near | (found == _OWN)).all(axis=1)
    return np.where(any_found, rank, np.iinfo(np.int64).max), cut_off


def _neighbour_recall(inputs: Inputs, found: np.ndarray, chosen: np.ndarray, k: int) -> float:
    exact = nearest_neighbours(
        inputs.queries[chosen], inputs.gallery, k=k, self_index=inputs.self_index[chosen]
    )
    shared = (exact.index[:, :, None] == found[chosen][:, None, :]).any(axis=2)
    return float(shared.mean())
