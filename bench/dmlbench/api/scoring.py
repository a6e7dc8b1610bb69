"""Exact metrics of embeddings that were made elsewhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlbench.api.defaults import DISTANCE, RECALL_AT, SCORE_DEVICE
from dmlbench.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from dmlbench.retrieval import Distance, Metric, RetrievalResult
    from dmlbench.retrieval.embedding_files import EmbeddingSet


@dataclass(frozen=True)
class Score:
    """What `score` found."""

    metrics: dict[str, float | int]
    """Metrics as fractions, and counts of queries, by name."""
    result: "RetrievalResult"
    """The result of `dmlbench.retrieval.evaluate`, with what it has by query."""
    plain: frozenset[str] = frozenset()
    """Metrics that are no shares, so that a percentage would make no sense."""
    notes: tuple[str, ...] = ()
    """What was noticed of the files, such as queries that are in the gallery."""
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
    covariance_from: str | Path | None = None,
    ignore_labels: Iterable[int | str] = (),
    leave_out: str | None = None,
    device: str = SCORE_DEVICE,
) -> Score:
    """Score the embeddings in `file`, each item searching all others or a gallery.

    As ``dmlbench score``. For arrays in memory there is `dmlbench.retrieval.evaluate`.

    Args:
        file: ``.npz`` or ``.safetensors`` with arrays ``embeddings`` ``[N, D]`` and ``labels``
            ``[N]``, ``.parquet`` with columns of these names, ``.npy`` with `labels`, or what
            ``run --keep-embeddings`` wrote beside a record.
        labels: a ``.npy`` file with the classes, integers or texts, if `file` does not hold them.
        gallery: a file of the same kinds with what is searched; `file` then holds the queries. If
            both hold the same items, each searches all the others.
        gallery_labels: a ``.npy`` file with the classes of the gallery.
        recall_at: ranks k of Recall@k.
        precision_at: ranks k of precision@k.
        map: whether to compute the mean average precision of whole rankings, too.
        metrics: further metrics by name: keys, aliases such as "mrr", or those of plugins.
        distance: how items are compared: "cosine", "euclidean", or another of `evaluate`.
        covariance_from: a file of the same kinds, with the training embeddings whose covariance the
            distance "mahalanobis" takes.
        ignore_labels: labels of distractors, which are found but never looked for.
        leave_out: the name of an array in the file, or in both, of integers or texts ``[N]``: items
            for which it is the same as for the query are left out of its ranking.
        device: "cpu", "cuda", "cuda:1", "auto".

    Raises:
        ConfigError: a file of another type, no labels, an unknown distance or device, a distance
            without its covariance.
        DataError: a file that can't be read, or holds something else.

    Example:
        >>> import numpy as np, tempfile, pathlib, dmlbench
        >>> file = pathlib.Path(tempfile.mkdtemp(), "items.npz")
        >>> np.savez(file, embeddings=[[1, 0], [1, 0.1], [0, 1], [0.1, 1]], labels=list("aabb"))
        >>> dmlbench.score(file, recall_at=[1]).metrics["recall@1"]
        1.0
    """
    from dmlbench.retrieval import evaluate, has_collapsed
    from dmlbench.retrieval.embedding_files import read_sets

    if gallery is None and gallery_labels is not None:
        raise ConfigError("gallery_labels (--gallery-labels) needs a gallery (--gallery).")
    compare = _distance(distance, covariance_from)
    if device != "cpu":  # torch takes a second to load, and NumPy does for the CPU
        from dmlbench.compute.device import pick_device

        device = str(pick_device(device))
    chosen = _chosen(metrics)
    queries, items = read_sets(
        Path(file), _path(labels), _path(gallery), _path(gallery_labels), leave_out
    )
    ignored = _as_given(ignore_labels, queries, file)
    notes: tuple[str, ...] = ()
    if items is not None and queries.equals(items):
        notes = (f"The gallery {gallery} is the queries again: each item searches all others.",)
        items = None
    sets: dict[str, Any] = {}
    if items is not None:
        sets = {"gallery": items.embeddings, "gallery_labels": items.labels}
        if leave_out is None:
            notes, sets["self_index"] = _overlap(queries, items)
    if leave_out is not None:
        sets["leave_out"] = queries.groups if items is None else (queries.groups, items.groups)
    result = evaluate(
        queries.embeddings,
        queries.labels,
        **sets,
        ignore_labels=ignored,
        recall_at=tuple(recall_at),
        precision_at=tuple(precision_at),
        mean_average_precision=map,
        metrics=chosen,
        distance=compare,
        device=device,
    )
    plain = frozenset(key for key, metric in chosen.items() if not metric.is_share)
    compared = [each.embeddings for each in (queries, items) if each is not None]
    collapsed = has_collapsed(*compared, cosine=distance == "cosine")
    return Score(_figures(result), result, plain, notes, collapsed)


def _distance(name: str, covariance_from: str | Path | None) -> "str | Distance":
    """Return the distance, with the covariance that it may need.

    Raises:
        ConfigError: one of the two is missing.
    """
    from dmlbench.retrieval import Mahalanobis

    if covariance_from is None:
        if name == Mahalanobis.name:
            raise ConfigError(
                "The Mahalanobis distance needs a covariance: name a file of training embeddings "
                "with covariance_from (--covariance-from)."
            )
        return name
    if name != Mahalanobis.name:
        raise ConfigError(
            f"covariance_from (--covariance-from) is for the distance {Mahalanobis.name!r}, "
            f"not {name!r}."
        )
    from dmlbench.retrieval.embedding_files import read_vectors
    from dmlbench.retrieval.inputs import read_embeddings

    vectors = read_embeddings(read_vectors(Path(covariance_from)), str(covariance_from))
    if len(vectors) < 2:
        raise DataError(f"{covariance_from} has one embedding, and a covariance needs two.")
    return Mahalanobis.of(vectors)


def _as_given(
    ignored: "Iterable[int | str]", queries: "EmbeddingSet", file: str | Path
) -> list[int | str]:
    """Return labels to ignore; texts from the command line stand for integers if labels are some.

    Raises:
        ConfigError: one is no integer, and the labels are.
    """
    chosen = list(ignored)
    if queries.labels.dtype.kind == "U" or isinstance(next(iter(queries.labels), ""), str):
        return chosen
    try:
        return [int(label) for label in chosen]
    except ValueError:
        raise ConfigError(
            f"The labels of {file} are integers; those to ignore (--ignore-labels) are not: "
            f"{', '.join(map(str, chosen))}."
        ) from None


def _overlap(
    queries: "EmbeddingSet", items: "EmbeddingSet"
) -> "tuple[tuple[str, ...], np.ndarray]":
    """Return what to say of queries that are gallery items, and a `self_index` without any."""
    from dmlbench.retrieval.inputs import read_inputs
    from dmlbench.retrieval.overlap import in_gallery

    inputs = read_inputs(queries.embeddings, queries.labels, items.embeddings, items.labels)
    overlap = int(in_gallery(inputs).sum())
    if not overlap:
        return (), inputs.self_index
    note = (
        f"{overlap} of {len(inputs.queries)} queries are in the gallery too: the same vector of "
        "the same class. If they are the same items, they find themselves: name an array that "
        "tells items apart, in both files, with leave_out (--leave-out)."
    )
    return (note,), inputs.self_index


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


def _figures(result: "RetrievalResult") -> dict[str, float | int]:
    counts = {"queries": result.queries, "lone_queries": result.lone_queries}
    if result.distractors:
        counts["distractors"] = result.distractors
    return result.metrics | {"class_average_map_at_r": result.per_class.map_at_r} | counts
