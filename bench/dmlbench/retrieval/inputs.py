"""Embeddings and labels as callers pass them: checked, with a clear error for anything wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlbench.errors import DataError
from dmlbench.retrieval.exclusion import Exclusion, read_exclusion
from dmlbench.retrieval.labels import Classes, numbered, read_classes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    Embeddings = np.ndarray | Tensor
    Labels = ArrayLike | Tensor
    LeaveOut = Labels | tuple[Labels, Labels]

_ROWS_CHECKED_AT_ONCE = 4096


@dataclass(frozen=True)
class Inputs:
    """Checked inputs. In self-retrieval the gallery *is* the query array.

    Distractors (items of ignored labels) have classes of their own: each is its only member in the
    gallery, and as a query it has nothing to find.
    """

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
    is_query: np.ndarray
    """Whether each query is one ``[Q]``, not a distractor (bool)."""
    is_distractor: np.ndarray
    """Whether each gallery item is a distractor ``[G]`` (bool)."""
    exclusion: Exclusion | None = None
    """What else is left out of the rankings: the engines know nothing of it, see `leaving_out`."""

    @property
    def symmetric(self) -> bool:
        """Whether the queries are the gallery."""
        return self.gallery is self.queries

    def all_items(self) -> tuple[np.ndarray, np.ndarray]:
        """Return embeddings ``[N, D]`` and classes ``[N]`` of gallery and queries, each once.

        Distractors, which have no class, are not among them.
        """
        others = (self.self_index < 0) & self.is_query
        if not others.any() and not self.is_distractor.any():
            return self.gallery, self.gallery_labels
        known = ~self.is_distractor
        return (
            np.concatenate([self.gallery[known], self.queries[others]]),
            np.concatenate([self.gallery_labels[known], self.labels[others]]),
        )


def read_inputs(
    embeddings: "Embeddings",
    labels: "Labels",
    gallery: "Embeddings | None" = None,
    gallery_labels: "Labels | None" = None,
    self_index: "Labels | None" = None,
    *,
    ignore_labels: "Iterable[int | str]" = (),
    leave_out: "LeaveOut | None" = None,
) -> Inputs:
    """Check and return queries and gallery; without a gallery, each query searches the others.

    Args:
        embeddings: queries ``[Q, D]``.
        labels: their classes ``[Q]``, see `read_classes`.
        gallery: the items to search ``[G, D]``, if not the queries themselves.
        gallery_labels: their classes ``[G]``.
        self_index: each query's own row in the gallery ``[Q]``, -1 if it is not there.
        ignore_labels: labels of distractors.
        leave_out: see `read_exclusion`.

    Raises:
        DataError: a set is empty, shapes don't match, a value is NaN or infinite, labels are
            neither integers nor texts or can't be compared, or a query's own row in the gallery has
            another class.
    """
    queries = read_embeddings(embeddings, "embeddings")
    query_classes = read_classes(labels, len(queries), "labels")
    if gallery is None:
        if gallery_labels is not None or self_index is not None:
            raise DataError("gallery_labels and self_index need a gallery; none was given.")
        numbers, ignored = _without_classes(ignore_labels, query_classes)
        own_labels = _alone(numbers[0], ignored[0])
        return Inputs(
            queries,
            own_labels,
            queries,
            own_labels,
            np.arange(len(queries)),
            ~ignored[0],
            ignored[0],
            None if leave_out is None else read_exclusion(leave_out, len(queries), None),
        )
    if gallery_labels is None:
        raise DataError("A gallery was given without gallery_labels.")
    items = read_embeddings(gallery, "gallery")
    item_classes = read_classes(gallery_labels, len(items), "gallery_labels")
    if items.shape[1] != queries.shape[1]:
        raise DataError(
            f"Queries have {queries.shape[1]} dimensions, the gallery has {items.shape[1]}."
        )
    numbers, ignored = _without_classes(ignore_labels, query_classes, item_classes)
    own = np.full(len(queries), -1, dtype=np.int64)
    if self_index is not None:
        own = _read_self_index(self_index, len(queries), len(items))
        _check_classes(own, numbers, query_classes, item_classes)
    return Inputs(
        queries,
        numbers[0],
        items,
        _alone(numbers[1], ignored[1]),
        own,
        ~ignored[0],
        ignored[1],
        None if leave_out is None else read_exclusion(leave_out, len(queries), len(items)),
    )


def _without_classes(
    ignore_labels: "Iterable[int | str]", *sets: Classes
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the labels of each set as numbers, and which of them are ignored.

    Numbers count from 0 if any are ignored.
    """
    chosen = list(ignore_labels)
    if not chosen:
        numbers = numbered(*sets)
        return numbers, [np.zeros(len(one), dtype=bool) for one in numbers]
    *numbers, not_counted = numbered(*sets, read_classes(chosen, len(chosen), "ignore_labels"))
    ends = np.cumsum([len(one) for one in numbers])[:-1]
    joined = np.concatenate(numbers)
    ignored = np.split(np.isin(joined, not_counted), ends)
    return np.split(np.unique(joined, return_inverse=True)[1], ends), ignored


def _alone(numbers: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Return class numbers ``[G]`` that make each ignored item the only one of its class."""
    apart: np.ndarray = numbers.copy()
    apart[ignored] = -1 - np.arange(np.count_nonzero(ignored))  # those of classes count from 0
    return apart


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


def _read_self_index(self_index: Any, queries: int, items: int) -> np.ndarray:
    own = _as_array(self_index, "self_index")
    if own.shape != (queries,):
        raise DataError(
            f"self_index must have one entry for each of the {queries} rows; "
            f"its shape is {list(own.shape)}."
        )
    if own.dtype.kind not in "iu":
        raise DataError(f"self_index must be integers, not {own.dtype}.")
    if own.min() < -1 or own.max() >= items:
        raise DataError(
            f"self_index must lie between -1 and {items - 1}, "
            f"the last row of the gallery; it has {own.min()} to {own.max()}."
        )
    return own.astype(np.int64, copy=False)


def _check_classes(
    own: np.ndarray, numbers: list[np.ndarray], labels: Classes, gallery_labels: Classes
) -> None:
    """Refuse a query whose own row in the gallery has another class."""
    wrong = np.flatnonzero((own >= 0) & (numbers[1][own] != numbers[0]))
    if len(wrong):
        query = wrong[0]
        raise DataError(
            f"Query {query} has class {labels.values[query]}, but its own row in the gallery "
            f"({own[query]}) has class {gallery_labels.values[own[query]]}."
        )
