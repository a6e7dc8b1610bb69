"""The positives of queries: their values, and the bounds below and above which negatives matter."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dmlbench.retrieval.engine import rounding
from dmlbench.retrieval.engine.comparison import Comparison
from dmlbench.retrieval.engine.layout import ClassLayout
from dmlbench.retrieval.engine.task import Task

class Positives(NamedTuple):
    """Positives of some queries, the nearest last."""

    value: np.ndarray
    """Values ``[b, P]``, tagged by place in the class, padded with `PADDING`."""
    bits: int
    """Of the tags."""


PADDING = -1e300


def positives_of(task: Task, queries: np.ndarray) -> Positives:
    """Return the values of all positives of `queries`, from float64 products of whole classes.

    Args:
        task: what to measure.
        queries: which, ascending.
    """
    comparison, layout = task.comparison, task.layout
    number = layout.query_class[queries]
    width = int(layout.class_size[number].max())
    first, last = int(queries[0]), int(queries[-1]) + 1
    left, right = int(layout.class_start[number].min()), int(layout.class_end[number].max())
    x = comparison.queries.precise_part(first, last)[queries - first]
    value = np.full((len(queries), width), PADDING)
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(queries)]
    # A class of many items, or many classes of few: their rows at once, unless they lie far apart.
    together = right - left <= 4 * (int(layout.class_size[np.unique(number)].sum()))
    y = comparison.gallery.precise_part(left, right) if together else None
    half = comparison.queries.half[queries]
    for top, bottom in pairwise(edges):
        start = int(layout.class_start[number[top]])
        end = int(layout.class_end[number[top]])
        of_class = (
            comparison.gallery.precise_part(start, end) if y is None else y[start - left : end - left]
        )
        products = x[top:bottom] @ of_class.T
        if comparison.frame.with_norms:
            products -= comparison.gallery.half[start:end]
            products -= half[top:bottom, None]
        else:
            products -= comparison.shift
        value[top:bottom, : end - start] = products
    own = layout.own_position[queries]
    here = np.flatnonzero(own >= 0)
    value[here, own[here] - layout.class_start[number[here]]] = PADDING
    bits = max(1, (width - 1).bit_length())
    value = rounding.tag(value, np.arange(width), bits)
    value.sort(axis=1)
    return Positives(value, bits)


class Band(NamedTuple):
    """Where fast values of negatives leave open whether they rank above a positive."""

    lower: np.ndarray
    """A negative below this ranks behind."""
    upper: np.ndarray
    """A negative at or above this ranks ahead, by more than a tie."""


def bands(task: Task, queries: np.ndarray, value: np.ndarray, bits: int) -> Band:
    """Return the band of each positive.

    Args:
        task: what to measure.
        queries: which queries ``[b]``.
        value: tagged values of their positives ``[b, m]``.
        bits: of the tags.
    """
    comparison, layout = task.comparison, task.layout
    slack = comparison.queries.precise_slack[queries]
    slack = slack + task.class_precise_slack[layout.query_class[queries]]
    error = slack[:, None] + np.abs(value) * rounding.tag_error(bits)
    open_ = error + comparison.tie(queries, value, error) + comparison.tolerance
    open_ += (comparison.queries.slack[queries] + task.gallery_slack)[:, None]
    fast = value + comparison.shift
    return Band(rounding.wider(fast - open_, -1), rounding.wider(fast + open_, 1))
