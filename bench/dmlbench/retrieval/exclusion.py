"""Gallery items that some queries must not find, besides themselves."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dmlbench.errors import DataError
from dmlbench.retrieval.labels import numbered, read_classes, read_labels

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Labels, LeaveOut


class Exclusion(ABC):
    """What is left out of each query's ranking."""

    @abstractmethod
    def of(self, queries: np.ndarray) -> np.ndarray:
        """Return whether each gallery item is left out for some queries ``[b, G]``."""

    @abstractmethod
    def affected(self, self_index: np.ndarray) -> np.ndarray:
        """Return the queries that an item is left out of, besides their own row in the gallery."""


@dataclass(frozen=True)
class OwnGroup(Exclusion):
    """The items of the query's own group, whatever their class."""

    query_groups: np.ndarray
    """``[Q]`` (int64)."""
    gallery_groups: np.ndarray
    """``[G]`` (int64)."""

    def of(self, queries: np.ndarray) -> np.ndarray:
        """Return whether the groups are equal ``[b, G]``."""
        equal: np.ndarray = self.query_groups[queries, None] == self.gallery_groups
        return equal

    def affected(self, self_index: np.ndarray) -> np.ndarray:
        """Return the queries with another gallery item in their group."""
        groups, size = np.unique(self.gallery_groups, return_counts=True)
        place = np.searchsorted(groups, self.query_groups).clip(max=len(groups) - 1)
        found = np.where(groups[place] == self.query_groups, size[place], 0)
        own = (self_index >= 0) & (self.gallery_groups[self_index] == self.query_groups)
        more: np.ndarray = np.flatnonzero(found > own)
        return more


@dataclass(frozen=True)
class Masked(Exclusion):
    """The items that a mask marks."""

    mask: np.ndarray
    """``[Q, G]`` (bool)."""

    def of(self, queries: np.ndarray) -> np.ndarray:
        """Return these rows of the mask ``[b, G]``."""
        rows: np.ndarray = self.mask[queries]
        return rows

    def affected(self, self_index: np.ndarray) -> np.ndarray:
        """Return the queries with another marked item in their row."""
        own = (self_index >= 0) & self.mask[np.arange(len(self.mask)), self_index]
        return np.flatnonzero(np.count_nonzero(self.mask, axis=1) > own)


def read_exclusion(leave_out: "LeaveOut", queries: int, items: int | None) -> Exclusion:
    """Return what `leave_out` says.

    Args:
        leave_out: the group of each item ``[Q]``, or with a gallery a pair, the groups of queries
            ``[Q]`` and of gallery items ``[G]``; or a boolean mask ``[Q, G]``.
        queries: Q.
        items: G, None in self-retrieval.

    Raises:
        DataError: it is none of these, or groups are no labels, see `read_classes`.

    Example:
        >>> read_exclusion((["a", "b"], ["b", "a", "a"]), queries=2, items=3).of(np.array([0]))
        array([[False,  True,  True]])
    """
    mask = _as_mask(leave_out)
    if mask is not None:
        shape = (queries, queries if items is None else items)
        if mask.shape != shape or mask.dtype != np.bool_:
            raise DataError(
                f"A mask in leave_out must be boolean and of the shape {list(shape)}, an entry for "
                f"each query and gallery item, not {mask.dtype} of the shape {list(mask.shape)}."
            )
        return Masked(mask)
    if items is None:
        groups = read_labels(cast("Labels", leave_out), queries, "The groups in leave_out")
        return OwnGroup(groups, groups)
    if not isinstance(leave_out, tuple | list) or len(leave_out) != 2:
        raise DataError(
            "With a gallery, leave_out must be a pair, the groups of the queries and those of the "
            "gallery, or a boolean mask [Q, G]."
        )
    return OwnGroup(
        *numbered(
            read_classes(leave_out[0], queries, "The groups of queries in leave_out"),
            read_classes(leave_out[1], items, "The groups of the gallery in leave_out"),
        )
    )


def _as_mask(leave_out: Any) -> np.ndarray | None:
    """Return an array or tensor of two dimensions, which can't be groups."""
    if getattr(leave_out, "ndim", 0) != 2:
        return None
    return np.asarray(leave_out.detach().cpu() if hasattr(leave_out, "detach") else leave_out)
