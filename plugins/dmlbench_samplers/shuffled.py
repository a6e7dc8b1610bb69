"""Batches from shuffled passes over all items, whatever their classes."""

from collections.abc import Iterator

import numpy as np

from dmlbench import Sampler
from dmlbench_samplers.classes import refuse_no_items


class Rounds:
    """Deals values in shuffled rounds: each round has every value once.

    Dealing continues from one round into the next and drops nothing, so at any time the counts of
    two values differ by at most one. A hand holds no value twice unless it is larger than a round:
    then each value appears as often as any other, give or take one.

    Args:
        values: what is dealt ``[V]``, all different.
        rng: the source of the order.
    """

    def __init__(self, values: np.ndarray, rng: np.random.Generator) -> None:
        self.values = values
        self.rng = rng
        self._left = values[:0]

    def deal(self, count: int) -> np.ndarray:
        """Return the next `count` values."""
        whole_rounds, rest = divmod(count, len(self.values))
        return np.concatenate([np.tile(self.values, whole_rounds), self._deal_distinct(rest)])

    def _deal_distinct(self, count: int) -> np.ndarray:
        hand, self._left = self._left[:count], self._left[count:]
        if len(hand) < count:
            order = self.rng.permutation(self.values)
            # The end of the last round is in hand already: those values wait for the next hand.
            fresh = np.flatnonzero(~np.isin(order, hand))[: count - len(hand)]
            hand = np.concatenate([hand, order[fresh]])
            self._left = np.delete(order, fresh)
        return hand


class Shuffled(Sampler):
    """Items at random, each as often as any other.

    The passes are cut into batches as one stream: no item is dropped at the end of a pass, and no
    batch holds an item twice unless there are fewer items than a batch takes.
    """

    def batches(
        self, labels: np.ndarray, *, batch_size: int, steps: int, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Return an iterator over `steps` batches of item indices ``[batch_size]``.

        Raises:
            DataError: there are no items.
        """
        refuse_no_items(labels, "random")
        items = Rounds(np.arange(len(labels)), rng)
        return (items.deal(batch_size) for _ in range(steps))
