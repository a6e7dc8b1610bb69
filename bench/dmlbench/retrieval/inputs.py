"""Embeddings and labels as callers pass them: checked, with a clear error for anything wrong."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    Embeddings = np.ndarray | Tensor
    Labels = np.ndarray | Tensor | list[int]

_ROWS_CHECKED_AT_ONCE = 4096


@dataclass(frozen=True)
class Inputs:
    """Checked inputs. In self-retrieval the gallery *is* the query array."""

    queries: np.ndarray
    """Query embeddings ``[Q, D]``, of any real type."""
    labels: np.ndarray
    """Class of each query ``[Q]`` (int64)."""
    gallery: np.ndarray
    """Gallery embeddings ``[G, D]``."""
    gallery_labels: np.ndarray
    """Class of each gallery item ``[G]`` (int64)."""
    self_index: np.ndarray
    """Each query's own row in the gallery ``[Q]`` (int64), -1 if it is not there."""

    @property
    def symmetric(self) -> bool:
        """Whether the queries are the gallery."""
        return self.gallery is self.queries

    def all_items(self) -> tuple[np.ndarray, np.ndarray]:
        """Return embeddings ``[N, D]`` and classes ``[N]`` of gallery and queries, each once."""
        others = self.self_index < 0
        if not others.any():
            return self.gallery, self.gallery_labels
        return (
            np.concatenate([self.gallery, self.queries[others]]),
            np.concatenate([self.gallery_labels, self.labels[others]]),
        )


def read_inputs(
    embeddings: "Embeddings",
    labels: "Labels",
    gallery: "Embeddings | None" = None,
    gallery_labels: "Labels | None" = None,
    self_index: "Labels | None" = None,
) -> Inputs:
    """Check and return queries and gallery; without a gallery, each query searches the others.

    Raises:
        DataError: a set is empty, shapes don't match, a value is NaN or infinite, labels are not
            integers, or a query's own row in the gallery has another class.
    """
    queries = read_embeddings(embeddings, "embeddings")
    query_labels = read_labels(labels, len(queries), "labels")
    if gallery is None:
        if gallery_labels is not None or self_index is not None:
            raise DataError("gallery_labels and self_index need a gallery; none was given.")
        return Inputs(queries, query_labels, queries, query_labels, np.arange(len(queries)))
    if gallery_labels is None:
        raise DataError("A gallery was given without gallery_labels.")
    items = read_embeddings(gallery, "gallery")
    item_labels = read_labels(gallery_labels, len(items), "gallery_labels")
    if items.shape[1] != queries.shape[1]:
        raise DataError(
            f"Queries have {queries.shape[1]} dimensions, the gallery has {items.shape[1]}."
        )
    if self_index is None:
        own = np.full(len(queries), -1, dtype=np.int64)
    else:
        own = read_labels(self_index, len(queries), "self_index")
        _check_self_index(own, query_labels, item_labels)
    return Inputs(queries, query_labels, items, item_labels, own)


def read_embeddings(embeddings: "Embeddings", name: str) -> np.ndarray:
    """Return `embeddings` as a real array ``[N, D]`` on the CPU, copied only where necessary.

    Raises:
        DataError: they are not two-dimensional, empty, not real numbers of at most 64 bits, or
            not finite.
    """
    array = _as_array(embeddings, name)
    if array.ndim != 2:
        raise DataError(f"{name} must have the shape [N, D], not {list(array.shape)}.")
    if array.size == 0:
        raise DataError(f"{name} is empty: its shape is {list(array.shape)}.")
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise DataError(f"{name} must hold real numbers of at most 64 bits, not {array.dtype}.")
    if array.dtype.kind == "f":
        for start in range(0, len(array), _ROWS_CHECKED_AT_ONCE):
            finite = np.isfinite(array[start : start + _ROWS_CHECKED_AT_ONCE]).all(axis=1)
            if not finite.all():
                row = start + int(np.argmin(finite))
                raise DataError(
                    f"{name} has NaN or infinity, first in row {row}. Did the training diverge?"
                )
    return array


def read_labels(labels: "Labels", length: int, name: str) -> np.ndarray:
    """Return `labels` as int64 ``[length]``.

    Raises:
        DataError: there is not exactly one integer per row.
    """
    array = _as_array(labels, name)
    if array.shape != (length,):
        raise DataError(
            f"{name} must have one entry for each of the {length} rows; "
            f"its shape is {list(array.shape)}."
        )
    if array.dtype.kind not in "iu":
        raise DataError(f"{name} must be integers, not {array.dtype}.")
    if array.dtype.kind == "u" and array.max(initial=0) > np.iinfo(np.int64).max:
        raise DataError(f"{name} must fit into 64-bit signed integers.")
    return array.astype(np.int64, copy=False)


def _as_array(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        if tensor.dtype.is_floating_point and tensor.dtype.itemsize == 2:
            tensor = tensor.float()  # NumPy has no bfloat16
        return np.asarray(tensor.numpy())
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} can't be read as an array: {error}.") from error


def _check_self_index(own: np.ndarray, labels: np.ndarray, gallery_labels: np.ndarray) -> None:
    if own.min() < -1 or own.max() >= len(gallery_labels):
        raise DataError(
            f"self_index must lie between -1 and {len(gallery_labels) - 1}, "
            f"the last row of the gallery; it has {own.min()} to {own.max()}."
        )
    wrong = np.flatnonzero((own >= 0) & (gallery_labels[own] != labels))
    if len(wrong):
        query = wrong[0]
        raise DataError(
            f"Query {query} has class {labels[query]}, but its own row in the gallery "
            f"({own[query]}) has class {gallery_labels[own[query]]}."
        )
