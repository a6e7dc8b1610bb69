"""Exact metrics of embeddings that were made elsewhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlbench.api.defaults import DISTANCE, RECALL_AT, SCORE_DEVICE
from dmlbench.errors import ConfigError, DataError

if TYPE_CHECKING:
    from dmlbench.retrieval import Metric, RetrievalResult


@dataclass(frozen=True)
class Score:
    """What `score` found."""

    metrics: dict[str, float | int]
    """Metrics as fractions, and counts of queries, by name."""
    result: "RetrievalResult"
    """The result of `dmlbench.retrieval.evaluate`, with what it has by query."""
    plain: frozenset[str] = frozenset()
    """Metrics that are no shares, so that a percentage would make no sense."""
    collapsed: bool = False
    """Whether the embeddings differ by a network's rounding only, see `has_collapsed`."""


def score(
    file: str | Path,
    *,
    labels: str | Path | None = None,
    gallery: str | Path | None = None,
    gallery_labels: str | Path | None = None,
    recall_at: Iterable[int] = RECALL_AT,
    precision_at: Iterable[int] = (),
    map: bool = False,
    metrics: Iterable[str] = (),
    distance: str = DISTANCE,
    device: str = SCORE_DEVICE,
) -> Score:
    """Score the embeddings in `file`, each item searching all others or a gallery.

    As ``dmlbench score``. For arrays in memory there is `dmlbench.retrieval.evaluate`.

    Args:
        file: ``.npz`` or ``.safetensors`` with arrays ``embeddings`` ``[N, D]`` and ``labels``
            ``[N]``, ``.parquet`` with columns of these names, or ``.npy`` with `labels`.
        labels: a ``.npy`` file with the classes, of any type, if `file` does not hold them.
        gallery: a file of the same kinds with what is searched; `file` then holds the queries.
        gallery_labels: a ``.npy`` file with the classes of the gallery.
        recall_at: ranks k of Recall@k.
        precision_at: ranks k of precision@k.
        map: whether to compute the mean average precision of whole rankings, too.
        metrics: further metrics by name: keys, aliases such as "mrr", or those of plugins.
        distance: how items are compared: "cosine", "euclidean", or another of `evaluate`.
        device: "cpu", "cuda", "cuda:1", "auto".

    Raises:
        ConfigError: a file of another type, no labels, an unknown distance or device.
        DataError: a file that can't be read, or holds something else.

    Example:
        >>> import numpy as np, tempfile, pathlib, dmlbench
        >>> file = pathlib.Path(tempfile.mkdtemp(), "items.npz")
        >>> np.savez(file, embeddings=[[1, 0], [1, 0.1], [0, 1], [0.1, 1]], labels=list("aabb"))
        >>> dmlbench.score(file, recall_at=[1]).metrics["recall@1"]
        1.0
    """
    from dmlbench.retrieval import evaluate, has_collapsed
    from dmlbench.retrieval.embedding_files import read_embeddings

    if gallery is None and gallery_labels is not None:
        raise ConfigError("gallery_labels (--gallery-labels) needs a gallery (--gallery).")
    if device != "cpu":  # torch takes a second to load, and NumPy does for the CPU
        from dmlbench.compute.device import pick_device

        device = str(pick_device(device))
    chosen = _chosen(metrics)
    embeddings, classes = read_embeddings(Path(file), _path(labels))
    others: tuple[Any, Any] = (None, None)
    if gallery is not None:
        others = read_embeddings(Path(gallery), _path(gallery_labels))
    classes, other_classes = _numbered(classes, others[1])
    result = evaluate(
        embeddings,
        classes,
        others[0],
        other_classes,
        recall_at=tuple(recall_at),
        precision_at=tuple(precision_at),
        mean_average_precision=map,
        metrics=chosen,
        distance=distance,
        device=device,
    )
    plain = frozenset(key for key, metric in chosen.items() if not metric.is_share)
    sets = [embeddings] if others[0] is None else [embeddings, others[0]]
    collapsed = has_collapsed(*sets, cosine=distance == "cosine")
    return Score(_figures(result), result, plain, collapsed)


def _chosen(names: Iterable[str]) -> "dict[str, Metric]":
    """Return the metrics asked for by key; installed packages are read only if any is."""
    names = tuple(names)
    if not names:
        return {}
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.metrics import choose_metrics

    return choose_metrics(names, Catalogue.discover()).metrics


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _numbered(classes: Any, others: Any) -> tuple[Any, Any]:
    """Return classes as numbers that mean the same in both arrays; names may be texts.

    Raises:
        DataError: they are of types that can't be compared.
    """
    import numpy as np

    if all(part is None or np.asarray(part).dtype.kind in "iu" for part in (classes, others)):
        return classes, others
    try:
        both = classes if others is None else np.concatenate([classes, others])
        numbers = np.unique(both, return_inverse=True)[1]
    except TypeError as error:
        raise DataError(f"The labels can't be compared with each other: {error}.") from error
    return numbers[: len(classes)], None if others is None else numbers[len(classes) :]


def _figures(result: "RetrievalResult") -> dict[str, float | int]:
    return result.metrics | {
        "class_average_map_at_r": result.per_class.map_at_r,
        "queries": result.queries,
        "lone_queries": result.lone_queries,
    }
