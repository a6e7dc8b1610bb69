"""Items grouped by class, and what samplers refuse."""

import numpy as np

from dmlbench import ConfigError, DataError


def items_by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Return the indices of each class's items, classes and items in ascending order.

    >>> items_by_class(np.array([7, 3, 7]))
    [array([1]), array([0, 2])]
    """
    by_class = np.argsort(labels, kind="stable")
    starts = np.unique(labels[by_class], return_index=True)[1]
    return np.split(by_class, starts[1:])


def refuse_no_items(labels: np.ndarray, sampler: str) -> None:
    """Raise an error if there is nothing to draw from.

    Raises:
        DataError: there are no items.
    """
    if not len(labels):
        raise DataError(f"The sampler '{sampler}' has no training items to choose from.")


def refuse_partial_classes(batch_size: int, m: int, sampler: str) -> None:
    """Raise an error if a batch doesn't consist of whole groups of `m` items.

    Raises:
        ConfigError: the batch size is not a multiple of m.
    """
    if batch_size % m:
        raise ConfigError(
            f"The sampler '{sampler}' can't fill batches of {batch_size} with m = {m} "
            f"items a class: choose a batch size that is a multiple of {m}, or another m."
        )
