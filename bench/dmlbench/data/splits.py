"""Hold classes out, and renumber those that are left."""

import numpy as np

from dmlbench.data.items import Items


def hold_out_classes(
    items: Items, fraction: float, min_classes: int, rng: np.random.Generator
) -> tuple[Items, Items | None]:
    """Split training items by class into those to train on and those to validate on.

    Args:
        items: all training items.
        fraction: share of the classes to hold out.
        min_classes: with fewer classes than this, or a fraction of 0, nothing is held out.
        rng: chooses the classes.

    Returns:
        The items to train on, of at least two classes, and the validation items or None.
    """
    classes = np.unique(items.labels)
    held_out = min(round(fraction * len(classes)), len(classes) - 2)
    if len(classes) < min_classes or held_out < 2:
        return items, None
    validation = np.isin(items.labels, rng.permutation(classes)[:held_out])
    return items[~validation], items[validation]


def with_consecutive_labels(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the labels renumbered from 0 without gaps ``[N]``, and the number of classes.

    >>> with_consecutive_labels(np.array([30, 10, 30, 20]))
    (array([2, 0, 2, 1]), 3)
    """
    classes, renumbered = np.unique(labels, return_inverse=True)
    return renumbered.astype(np.int64), len(classes)
