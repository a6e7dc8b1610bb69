"""The positives of queries: their values, and how near to them a negative is hard to tell."""

from typing import NamedTuple

import numpy as np

from dmlbench.retrieval.engine import rounding
from dmlbench.retrieval.engine.task import Task


class Positives(NamedTuple):
    """Positives of some queries, the nearest last."""

    value: np.ndarray
    """Values plus `shift` ``[b, P]``, tagged by place in the class, padded with `PADDING`."""
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
    # A class of many items, or many classes of few: their rows at once, unless they lie far apart.
    together = right - left <= 4 * (int(layout.class_size[np.unique(number)].sum()))
    y = comparison.gallery.precise_part(left, right) if together else None
    for rows, start, end in layout.by_class(queries):
        of_class = (
            comparison.gallery.precise_part(start, end)
            if y is None
            else y[start - left : end - left]
        )
        products = x[rows] @ of_class.T
        comparison.subtract_norms(queries[rows], start, end, products)
        value[rows, : end - start] = products
    own = layout.own_position[queries]
    here = np.flatnonzero(own >= 0)
    value[here, own[here] - layout.class_start[number[here]]] = PADDING
    bits = max(1, (width - 1).bit_length())
    value = rounding.tag(value, np.arange(width), bits)
    value.sort(axis=1)
    return Positives(value, bits)


def reach(task: Task, queries: np.ndarray, positives: Positives, slack: np.ndarray) -> np.ndarray:
    """Return how far from a positive a value leaves open which of the two is nearer ``[b]``.

    A negative further below than this ranks behind, one further above ranks ahead, by more than a
    tie.

    Args:
        task: what to measure.
        queries: which ``[b]``.
        positives: theirs.
        slack: bounds on the errors of the values, which have at most the precision of float32
            ``[b]``.
    """
    comparison, layout = task.comparison, task.layout
    best, worst = ends(task, queries, positives)
    largest = np.maximum(np.abs(best), np.abs(worst))
    error = largest * rounding.tag_error(positives.bits)
    error += comparison.queries.precise_slack[queries]
    error += task.class_precise_slack[layout.query_class[queries]]
    ties = comparison.tie(queries, worst - comparison.shift, error)
    near: np.ndarray = error + ties + comparison.tolerance + slack + largest * rounding.STEP
    return near


def ends(task: Task, queries: np.ndarray, positives: Positives) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of each query's best and worst positive ``[b]``; 0 if it is lone."""
    relevant = task.layout.relevant[queries]
    width = positives.value.shape[1]
    last = positives.value[np.arange(len(queries)), np.minimum(width - relevant, width - 1)]
    lone = relevant == 0
    return np.where(lone, 0, positives.value[:, -1]), np.where(lone, 0, last)
