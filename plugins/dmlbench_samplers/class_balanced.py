"""Class-balanced batches: each item's class is drawn at random, all classes equally likely.

Where classes differ in size, the large ones dominate random batches. Here a small class appears as
often as a large one, so each of its items appears more often. A batch may lack positive pairs: with
C classes and batches of B there are about B (B - 1) / (2 C).

In the wild: the code of Roth et al. (ICML 2020, arXiv 2002.08473) calls this sampler "random". It
draws items with replacement, and the last one of a batch from a class already in it, so that there
is at least one positive pair.

Our choice: classes are drawn independently. The items of a class come in shuffled rounds: none
repeats before all others of its class have been used.
"""

from collections.abc import Iterator

import numpy as np

from dmlbench import Sampler
from dmlbench_samplers.classes import items_by_class, refuse_no_items
from dmlbench_samplers.shuffled import Rounds


class ClassBalanced(Sampler):
    """Items of classes drawn at random, each class as likely as any other.

    An item appears twice in a batch only if its class was drawn more often than it has items.
    """

    def batches(
        self, labels: np.ndarray, *, batch_size: int, steps: int, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Return an iterator over `steps` batches of item indices ``[batch_size]``.

        The items of a batch are grouped by class.

        Raises:
            DataError: there are no items.
        """
        refuse_no_items(labels, "class-balanced")
        items = [Rounds(indices, rng) for indices in items_by_class(labels)]
        return (_batch(items, rng.integers(len(items), size=batch_size)) for _ in range(steps))


def _batch(items: list[Rounds], classes: np.ndarray) -> np.ndarray:
    drawn, counts = np.unique(classes, return_counts=True)
    return np.concatenate([items[c].deal(count) for c, count in zip(drawn, counts, strict=True)])
