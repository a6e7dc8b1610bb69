"""Hierarchical batches: classes from a few super-classes only, so that negatives look alike.

Two bicycles are harder to tell apart than a bicycle from a sofa. A batch takes its classes from a
few super-classes, and m items from each class as with ``m-per-class``.

Papers: F. Cakir, K. He, X. Xia, B. Kulis, S. Sclaroff, Deep Metric Learning to Rank, CVPR 2019,
whose authors' code takes two super-classes per batch, half of it from each, and by default does not
fix the items per class; E. Ramzi, N. Thome, C. Rambour, N. Audebert, X. Bitot, Robust and
Decomposable Average Precision for Image Retrieval, NeurIPS 2021, arXiv 2110.01445, with 4 items per
class on Stanford Online Products and 8 on In-Shop.

In the wild: both, and pytorch-metric-learning, go through all pairs of super-classes in an epoch, a
few batches each, and fill each half of a batch from shuffled classes. Where these run out, the
second and third make smaller batches.

Our choice: super-classes, the classes of each and the items of each class come in shuffled rounds,
so that over an epoch all super-classes appear equally often (give or take one), and so do all
classes within one. Every batch is full.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np

from dmlbench import IntUniform, Sampler
from dmlbench_samplers.classes import items_by_class, refuse_no_items, refuse_partial_classes
from dmlbench_samplers.shuffled import Rounds


class Hierarchical(Sampler):
    """Classes of a few super-classes, with the same number of items each.

    A batch holds as many super-classes as asked for, or all if there are fewer, each with an equal
    share of its classes (give or take one). A super-class with fewer classes than its share gives
    all of them, with more items each. A class within two super-classes counts as two.

    Args:
        super_classes: how many a batch takes its classes from.
        m: items of a class in a batch; ``batch_size`` must be a multiple of it.
    """

    paper = "Cakir, He, Xia, Kulis, Sclaroff: Deep Metric Learning to Rank, CVPR 2019"

    def __init__(
        self,
        *,
        super_classes: Annotated[int, IntUniform(1, 64)] = 2,
        m: Annotated[int, IntUniform(1, 64)] = 4,
    ) -> None:
        self.super_classes = super_classes
        self.m = m

    def batches(  # type: ignore[override]  # may ask for more, see `Sampler`
        self,
        labels: np.ndarray,
        *,
        batch_size: int,
        steps: int,
        rng: np.random.Generator,
        groups: np.ndarray,
    ) -> Iterator[np.ndarray]:
        """Return an iterator over `steps` batches of item indices ``[batch_size]``.

        Args:
            labels: class ids of all training items ``[N]``.
            batch_size: items a batch.
            steps: batches an epoch.
            rng: the only source of randomness.
            groups: super-classes of all training items ``[N]``.

        Raises:
            ConfigError: the batch size is not a multiple of m.
            DataError: there are no items.
        """
        refuse_partial_classes(batch_size, self.m, "hierarchical")
        refuse_no_items(labels, "hierarchical")
        (group_of_class, _), class_of_item = np.unique(
            np.stack((groups, labels)), axis=1, return_inverse=True
        )
        items = [Rounds(indices, rng) for indices in items_by_class(class_of_item.ravel())]
        starts = np.unique(group_of_class, return_index=True)[1]
        classes = np.split(np.arange(len(items)), starts[1:])
        dealt = Rounds(np.arange(len(classes)), rng)
        hands = [Rounds(within, rng) for within in classes]
        return (self._batch(dealt, hands, items, batch_size) for _ in range(steps))

    def _batch(
        self, groups: Rounds, classes: list[Rounds], items: list[Rounds], batch_size: int
    ) -> np.ndarray:
        places = batch_size // self.m
        chosen = groups.deal(min(self.super_classes, len(classes), places))
        class_of_item = []
        for place, group in enumerate(chosen):
            share = (places - place - 1) // len(chosen) + 1
            if share <= len(classes[group].values):
                class_of_item.append(np.repeat(classes[group].deal(share), self.m))
            else:
                class_of_item.append(classes[group].deal(share * self.m))
        drawn, counts = np.unique(np.concatenate(class_of_item), return_counts=True)
        return np.concatenate(
            [items[c].deal(count) for c, count in zip(drawn, counts, strict=True)]
        )
