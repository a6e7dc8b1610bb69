"""Which trials are finished: have a record with all that is asked for."""

from collections.abc import Collection

from dmlbench.errors import DataError
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.record_store import Store


def finished(
    trial: Trial, store: Store, embeddings: bool, metrics: Collection[str]
) -> Record | None:
    """Return the finished record of `trial` in `store`, if it has all that is asked for.

    Args:
        trial: whose record.
        store: where it would be.
        embeddings: whether test embeddings are asked for.
        metrics: keys of the metrics that are.

    Raises:
        DataError: the record is damaged.
    """
    record = store.read(trial)
    return record if record is not None and _is_whole(record, store, embeddings, metrics) else None


def settled(
    trial: Trial, store: Store, embeddings: bool, metrics: Collection[str], *, failed: bool
) -> Record | None:
    """Return the record of `trial` if it is finished or, with `failed`, has failed; else None."""
    try:
        record = store.read(trial)
    except DataError:  # to be run again
        return None
    if record is None or (failed and record.status == "failed"):
        return record
    return record if _is_whole(record, store, embeddings, metrics) else None


def _is_whole(record: Record, store: Store, embeddings: bool, metrics: Collection[str]) -> bool:
    if record.status != "finished":
        return False
    if not record.is_retrieval:
        return True
    kept = not embeddings or store.has_embeddings(record.trial)
    return kept and record.metrics.keys() >= set(metrics)
