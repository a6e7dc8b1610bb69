"""Queries and gallery sorted by class, so that a query's positives are one segment."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from dmlbench.errors import DataError
from dmlbench.retrieval.inputs import Inputs


@dataclass(frozen=True)
class ClassLayout:
    """Where everything is once sorted by class. Positions refer to the sorted order."""

    gallery_order: np.ndarray
    """Gallery items by class ``[G]``."""
    class_start: np.ndarray
    """First gallery position of each class ``[C]``."""
    class_size: np.ndarray
    """Gallery items of each class ``[C]``."""
    query_order: np.ndarray
    """Queries by class ``[Q']``: all in self-retrieval, else those that have a positive."""
    query_class: np.ndarray
    """Class number of each query in `query_order` ``[Q']``."""
    own_position: np.ndarray
    """Each query's own gallery position ``[Q']``, -1 if it is not there."""
    relevant: np.ndarray
    """R of each query in `query_order` ``[Q']``."""

    @cached_property
    def class_end(self) -> np.ndarray:
        """End of each class in the gallery (exclusive) ``[C]``."""
        end: np.ndarray = self.class_start + self.class_size
        return end

    def by_class(self, queries: np.ndarray) -> Iterator[tuple[slice, int, int]]:
        """Yield the rows of each class among ascending `queries`, and its place in the gallery."""
        number = self.query_class[queries]
        edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(queries)]
        for first, last in pairwise(edges):
            of_class = number[first]
            yield slice(first, last), int(self.class_start[of_class]), int(self.class_end[of_class])


def lay_out(inputs: Inputs) -> ClassLayout:
    """Sort queries and gallery by class.

    Raises:
        DataError: no query has a positive, so there is nothing to measure.
    """
    classes, size = np.unique(inputs.gallery_labels, return_counts=True)
    gallery_order = np.argsort(inputs.gallery_labels, kind="stable")
    position = np.empty_like(gallery_order)
    position[gallery_order] = np.arange(len(gallery_order))

    number = np.searchsorted(classes, inputs.labels)
    number[number == len(classes)] = 0
    known = classes[number] == inputs.labels
    in_gallery = inputs.self_index >= 0
    relevant = np.where(known, size[number] - in_gallery, 0)
    if not relevant.any():
        raise DataError(
            f"None of the {len(relevant)} queries has another item of its class in the gallery: "
            "there is nothing to retrieve."
        )
    if inputs.symmetric:
        query_order = gallery_order
    else:
        query_order = np.flatnonzero(relevant > 0)
        query_order = query_order[np.argsort(number[query_order], kind="stable")]
    return ClassLayout(
        gallery_order=gallery_order,
        class_start=np.cumsum(size) - size,
        class_size=size,
        query_order=query_order,
        query_class=number[query_order],
        own_position=np.where(in_gallery, position[inputs.self_index], -1)[query_order],
        relevant=relevant[query_order],
    )
