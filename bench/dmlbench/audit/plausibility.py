"""Whether a run can have left a record: its metrics, recomputed from its per-query results."""

import base64
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dmlbench.audit.epoch_faults import ROUNDING, epoch_faults
from dmlbench.errors import DataError
from dmlbench.retrieval.contract import SetMetric
from dmlbench.retrieval.metrics import find_metric
from dmlbench.schemas.record import Array, Record
from dmlbench.schemas.trial import SEMANTICS

MAX_ITEMS = 1 << 24
"""Most test items that a record may have: 17 million."""

_DTYPES = {
    "class": "<i4",
    "relevant": "<i4",
    "best_rank": "<i4",
    "hits": "<i4",
    "average_precision": "<f4",
    "correct": "|u1",
}
_RETRIEVAL = {"relevant", "best_rank", "hits", "average_precision"}
_VERSIONS = ("dmlbench", "torch", "numpy")


def faults(record: Record) -> list[str]:
    """Return what can't be true of `record`, in a few words each; empty if it is plausible.

    Its arrays are unpacked to the size that its items allow and no further, so that a small file
    can't exhaust memory.
    """
    try:
        record.to_json()
    except ValueError:
        return ["a number in it is not finite"]
    if record.trial.semantics != SEMANTICS:
        theirs = record.trial.semantics
        other = f"its figures follow the rules of semantics {theirs}, ours those of {SEMANTICS}"
        finished = record.status == "finished" and theirs < SEMANTICS
        return [other, *(epoch_faults(record) if finished else ())]
    if record.trial.seed < 0:
        return ["its seed is below 0"]
    if record.status == "failed":
        return list(_faults_of_a_failure(record))
    try:
        arrays = _arrays(record)
    except DataError as error:
        return [str(error)]
    metrics = _recall_and_precision if set(arrays) >= _RETRIEVAL else _accuracy
    return [*epoch_faults(record), *_faults_of_values(record), *metrics(record, arrays)]


def _faults_of_a_failure(record: Record) -> Iterator[str]:
    if not record.reason.strip():
        yield "it failed without a reason"
    if record.metrics or record.last_epoch_metrics or record.per_query:
        yield "it failed and yet has figures"


def _arrays(record: Record) -> dict[str, np.ndarray]:
    """Return the per-query arrays ``[N]`` with N the test items.

    Raises:
        DataError: they are not those of a finished trial, or not of this size.
    """
    items = record.details.get("test_items")
    if type(items) is not int or not 0 < items <= MAX_ITEMS:
        raise DataError(f"its number of test items is {items!r}")
    names = set(record.per_query) - {"class"}
    if names not in (_RETRIEVAL, {"correct"}):
        raise DataError(f"its per-query results are {', '.join(sorted(names)) or 'missing'}")
    return {name: _unpack(name, array, items) for name, array in record.per_query.items()}


def _unpack(name: str, array: Array, items: int) -> np.ndarray:
    dtype = np.dtype(_DTYPES[name])
    if array.dtype != _DTYPES[name]:
        raise DataError(f"per_query.{name} is of type {array.dtype[:20]!r}, not {_DTYPES[name]!r}")
    size = items * dtype.itemsize
    try:
        packed = base64.b64decode(array.data, validate=True)
        raw = zlib.decompressobj().decompress(packed, size + 1)
    except (ValueError, zlib.error) as error:
        raise DataError(f"per_query.{name} is damaged: {error}") from error
    if len(raw) != size:
        raise DataError(f"per_query.{name} has not one value for each of the {items:,} test items")
    return np.frombuffer(raw, dtype)


def _faults_of_values(record: Record) -> Iterator[str]:
    shares = {key: v for key, v in record.metrics.items() if _is_share(key, record)}
    shares |= {
        f"last_epoch_metrics.{key}": v
        for key, v in record.last_epoch_metrics.items()
        if _is_share(key, record)
    }
    for epoch in (*record.epochs, *record.retraining):
        where = f"{'retraining' if epoch.retraining else 'epochs'}.{epoch.epoch}"
        shares |= {f"{where}.validation.{key}": v for key, v in epoch.validation.items()}
        for split, pair in epoch.distances.items():
            for key, value in (("positive", pair.positive), ("negative", pair.negative)):
                shares[f"{where}.distances.{split}.{key}"] = value / 2  # cosine distances: 0 to 2
    wrong = [name for name, value in shares.items() if not -ROUNDING <= value <= 1 + ROUNDING]
    if wrong:
        yield f"{wrong[0][:60]} is out of range"
    lacking = [name for name in _VERSIONS if not record.versions.get(name)]
    if lacking:
        yield f"it does not say which version of {' and '.join(lacking)} made it"


def _accuracy(record: Record, arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    correct = arrays["correct"]
    if correct.max() > 1:
        yield "per_query.correct has values other than 0 and 1"
    yield from _other_metrics(record, {"correct": correct}, required=("knn_accuracy",))


def _recall_and_precision(record: Record, arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    relevant, rank, hits = (
        arrays[name].astype(np.int64) for name in ("relevant", "best_rank", "hits")
    )
    precision = arrays["average_precision"].astype(np.float64)
    gallery = record.details.get("gallery_items")
    searched = gallery if type(gallery) is int else len(relevant) - 1
    scored = relevant > 0
    least = np.where(hits > 0, 1 / np.maximum(rank, 1), 0) / np.maximum(relevant, 1)
    most = hits / np.maximum(relevant, 1)
    rules = {
        "relevant": (relevant >= 0) & (relevant <= searched),
        "best_rank": np.where(scored, (rank >= 1) & (rank <= searched - relevant + 1), rank == 0),
        "hits": (hits >= 0)
        & (hits <= np.maximum(relevant - rank + 1, 0))
        & ((hits > 0) == (scored & (rank <= relevant))),
        "average_precision": (precision >= least - ROUNDING) & (precision <= most + ROUNDING),
    }
    if "class" in arrays and gallery is None:
        classes = arrays["class"]
        sizes = np.unique(classes, return_inverse=True, return_counts=True)[1:]
        rules["class"] = (classes >= 0) & (sizes[1][sizes[0]] - 1 == relevant)
    impossible = [name for name, holds in rules.items() if not holds.all()]
    if impossible or not scored.any():
        yield f"per_query.{(impossible or ['relevant'])[0]} has values that can't be"
        return
    if record.details.get("lone_queries") != int((~scored).sum()):
        yield "its number of lone queries is not that of its per-query results"
    found = {"relevant": relevant, "best_rank": rank, "hits": hits, "average_precision": precision}
    of_scored = {name: values[scored] for name, values in found.items()}
    yield from _other_metrics(record, of_scored, required=("r_precision", "map_at_r"))


def _other_metrics(
    record: Record, arrays: Mapping[str, np.ndarray], required: Sequence[str]
) -> Iterator[str]:
    """Yield which metrics are not those that `arrays`, by query, give."""
    metrics = record.metrics
    for name in sorted(metrics.keys() | set(required)):
        if name not in metrics:
            yield f"it lacks the metric {name}"
            continue
        metric = find_metric(name)
        if metric is not None and metric.needs <= arrays.keys():
            expected = float(np.mean(metric.by_query(arrays)))
            if not math.isclose(metrics[name], expected, rel_tol=0, abs_tol=ROUNDING):
                yield (
                    f"its {name} is {metrics[name]:.6f}, its per-query results give {expected:.6f}"
                )
        elif metric.is_recorded if metric is not None else name not in record.metric_facts:
            yield f"nothing in it gives its metric {name[:40]!r}"


def taken_as_given(record: Record) -> list[str]:
    """Return the metrics of `record` that can't be recomputed from what it keeps."""
    return [
        name
        for name in record.metrics
        if not ((metric := find_metric(name)) and (metric.is_recorded or metric.is_diagnostic))
    ]


def _is_share(key: str, record: Record) -> bool:
    """Return whether a metric can't leave the range from 0 to 1."""
    metric = find_metric(key)
    if metric is not None:
        return metric.is_share and not isinstance(metric, SetMetric)
    return key not in record.metric_facts
