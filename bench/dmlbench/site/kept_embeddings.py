"""The test embeddings of a trial, together with their items."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dmlbench.data.items import Data, Items
from dmlbench.errors import DataError
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial

ReadEmbeddings = Callable[[Trial], Mapping[str, np.ndarray] | None]
"""From a trial to its test embeddings ``[N, E]`` by split; None if they were not kept."""

ReadData = Callable[[Trial], Data | None]
"""From a trial to the data that it ran on; None if they are not available."""

HOW = "To see what this row retrieves, run its command with --keep-embeddings and publish again."


@dataclass(frozen=True)
class Embedded:
    """Queries and the gallery that they search, which is the queries in self-retrieval."""

    queries: np.ndarray
    """``[Q, E]``."""
    query_items: Items
    gallery: np.ndarray
    """``[G, E]``."""
    gallery_items: Items
    class_names: tuple[str, ...]
    self_retrieval: bool
    best_rank: np.ndarray
    """Rank of each query's nearest item of its class, as the record has it ``[Q]``; 0 for none."""


def embedded(record: Record, embeddings: ReadEmbeddings, data: ReadData) -> Embedded | str:
    """Return the embeddings of a trial with their items, or why there are none."""
    try:
        kept = embeddings(record.trial)
        return HOW if kept is None else _with_items(record, kept, data(record.trial))
    except DataError as error:
        return str(error)


def _with_items(record: Record, kept: Mapping[str, np.ndarray], data: Data | None) -> Embedded:
    """Return the embeddings `kept` of a trial with their items.

    Raises:
        DataError: there are no items, or different ones.
    """
    if data is None:
        raise DataError(
            "The embeddings were kept, but the dataset is not at hand where this page was made."
        )
    if data.fingerprint != record.trial.fingerprint:
        raise DataError(
            "The embeddings were kept, but the dataset at hand is another one: its fingerprint is "
            f"{data.fingerprint}, not {record.trial.fingerprint}."
        )
    names = ("test", "test") if "test" in kept else ("query", "gallery")
    for name in names:
        _check(name, kept, data)
    queries, gallery = names
    return Embedded(
        queries=kept[queries],
        query_items=data.splits[queries],
        gallery=kept[gallery],
        gallery_items=data.splits[gallery],
        class_names=data.class_names,
        self_retrieval=queries == gallery,
        best_rank=_best_rank(record, len(data.splits[queries])),
    )


def _best_rank(record: Record, queries: int) -> np.ndarray:
    """Return the rank of each query's nearest item of its class ``[Q]``; 0 for none.

    Raises:
        DataError: the record lacks them.
    """
    array = record.per_query.get("best_rank")
    rank = np.empty(0, np.int32) if array is None else array.unpack()
    if rank.dtype.kind != "i" or rank.shape != (queries,) or not rank.any():
        raise DataError(f"The record does not say how each of its {queries} queries fared.")
    return rank


def _check(name: str, kept: Mapping[str, np.ndarray], data: Data) -> None:
    """Check that the embeddings of a split are those of its items.

    Raises:
        DataError: they are not.
    """
    if name not in kept or name not in data.splits:
        raise DataError(
            f"The embeddings were kept of {', '.join(sorted(kept))}: the split {name} is missing."
        )
    shape, items = kept[name].shape, len(data.splits[name])
    if len(shape) != 2 or shape[0] != items:
        raise DataError(f"The embeddings of {name} have the shape {shape} for {items} items.")
    if not np.isfinite(kept[name]).all():
        raise DataError(f"Some embeddings of {name} are not finite.")
