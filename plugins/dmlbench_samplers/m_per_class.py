"""Balanced batches: m items from each of batch_size / m classes.

With many small classes, a random batch has hardly any positive pairs; this one always has some.
Classes come in shuffled rounds, and so do the items of each class. Over an epoch all classes appear
equally often (give or take one), and an item repeats only after all others of its class.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np

from dmlbench import IntUniform, Sampler
from dmlbench_samplers.classes import items_by_class, refuse_no_items, refuse_partial_classes
from dmlbench_samplers.shuffled import Rounds


class MPerClass(Sampler):
    """The same number of items from each class of a batch.

    A batch holds ``batch_size // m`` different classes with m items each. With fewer classes than
    that it holds all of them, each with ``batch_size // classes`` items, and the classes take turns
    at the remainder. An item appears twice in a batch only if its class has fewer items than the
    batch takes; then all of that class appear equally often (give or take one).

    Args:
        m: items of a class in a batch; ``batch_size`` must be a multiple of it. With m = 1 a batch
            has no positive pairs, which suits only losses that need none.
    """

    def __init__(self, *, m: Annotated[int, IntUniform(1, 64)] = 4) -> None:
        self.m = m

    def batches(
        self, labels: np.ndarray, *, batch_size: int, steps: int, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Return an iterator over `steps` batches of item indices ``[batch_size]``.

        The items of a batch are grouped by class.

        Raises:
            ConfigError: the batch size is not a multiple of m.
            DataError: there are no items.
        """
        refuse_partial_classes(batch_size, self.m, "m-per-class")
        refuse_no_items(labels, "m-per-class")
        items = [Rounds(indices, rng) for indices in items_by_class(labels)]
        classes = Rounds(np.arange(len(items)), rng)
        return (self._batch(classes, items, batch_size) for _ in range(steps))

    def _batch(self, classes: Rounds, items: list[Rounds], batch_size: int) -> np.ndarray:
        groups = batch_size // self.m
        if groups <= len(items):
            class_of_place = np.repeat(classes.deal(groups), self.m)
        else:
            class_of_place = classes.deal(batch_size)
        chosen, counts = np.unique(class_of_place, return_counts=True)
        return np.concatenate(
            [items[c].deal(count) for c, count in zip(chosen, counts, strict=True)]
        )
