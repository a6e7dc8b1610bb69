"""Core-set batches: items that cover a larger random pool as evenly as they can.

A random batch repeats what is common. Here batch_size / m items are picked from a random pool, one
by one, each the furthest from all picked before it (greedy k-center). The largest distance of an
item of the pool from its nearest pick is then at most twice the smallest possible. Each pick brings
m - 1 items of its class, so that there are positives.

Papers: S. Sinha, H. Zhang, A. Goyal, Y. Bengio, H. Larochelle, A. Odena, Small-GAN: Speeding up GAN
Training using Core-Sets, ICML 2020, arXiv 1910.13540; brought to metric learning by K. Roth,
T. Milbich, S. Sinha, P. Gupta, B. Ommer, J. P. Cohen, Revisiting Training Strategies and
Generalization Performance in Deep Metric Learning, ICML 2020, arXiv 2002.08473, whose code has
pools of 512, m = 2, and embeddings from before training that each step renews for its batch.

In the wild: that code draws a pool for each batch, but looks the picks up in the epoch's first
pool, so its batches are random; a pick may appear again among the items of its class.

Our choice: pools of 512, m = 4 as in ``m-per-class``, embeddings from the start of the epoch, and
no item twice in a batch while its class has others. A batch costs time O(P B D / m) and memory
O(P D), with pools of P items, batches of B and embeddings of D numbers.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np

from dmlbench import IntUniform, Sampler
from dmlbench_samplers.classes import items_by_class, refuse_no_items, refuse_partial_classes


class CoreSet(Sampler):
    """Items that cover a random pool (greedy core-set), each with others of its class.

    Args:
        pool: number of random items that a batch should cover; all if there are fewer.
        m: items of a class for each pick, the pick included; ``batch_size`` must be a multiple of
            it.
    """

    paper = (
        "Roth, Milbich, Sinha, Gupta, Ommer, Cohen: Revisiting Training Strategies and "
        "Generalization Performance in Deep Metric Learning, ICML 2020, arXiv 2002.08473"
    )

    def __init__(
        self,
        *,
        pool: Annotated[int, IntUniform(1, 65536)] = 512,
        m: Annotated[int, IntUniform(1, 64)] = 4,
    ) -> None:
        self.pool = pool
        self.m = m

    def batches(  # type: ignore[override]  # may ask for more, see `Sampler`
        self,
        labels: np.ndarray,
        *,
        batch_size: int,
        steps: int,
        rng: np.random.Generator,
        embeddings: np.ndarray,
    ) -> Iterator[np.ndarray]:
        """Return an iterator over `steps` batches of item indices ``[batch_size]``.

        Args:
            labels: class ids of all training items ``[N]``.
            batch_size: items a batch.
            steps: batches an epoch.
            rng: the only source of randomness.
            embeddings: of all training items ``[N, D]``, of length 1.

        Raises:
            ConfigError: the batch size is not a multiple of m.
            DataError: there are no items.
        """
        refuse_partial_classes(batch_size, self.m, "core-set")
        refuse_no_items(labels, "core-set")
        classes = items_by_class(labels)
        class_of_item = np.unique(labels, return_inverse=True)[1]

        def batch(rng: np.random.Generator) -> np.ndarray:
            pool = rng.choice(len(labels), min(self.pool, len(labels)), replace=False)
            picks = pool[_cover(embeddings[pool], batch_size // self.m)]
            parts = [picks]
            for c, count in zip(*np.unique(class_of_item[picks], return_counts=True), strict=True):
                others = np.setdiff1d(classes[c], picks)
                shuffled = rng.permutation(others if len(others) else classes[c])
                parts.append(np.resize(shuffled, count * (self.m - 1)))
            return np.concatenate(parts)

        # If rounding changes a pick, the draws of later batches must stay the same.
        return (batch(own) for own in rng.spawn(steps))


def _cover(embeddings: np.ndarray, count: int) -> np.ndarray:
    """Return `count` rows of unit vectors ``[P, D]``, each the furthest from those before it.

    The first row is the first pick: the pool is in random order. After the last row, picks repeat.
    """
    nearest_pick = np.full(len(embeddings), -np.inf)
    picks = np.empty(min(count, len(embeddings)), dtype=np.int64)
    for place in range(len(picks)):
        picks[place] = nearest_pick.argmin()
        # NaN, from a network that diverged, counts as far from everything.
        np.fmax(nearest_pick, embeddings @ embeddings[picks[place]], out=nearest_pick)
        nearest_pick[picks[place]] = np.inf
    return np.resize(picks, count)
