"""What tests of samplers share: classes of any size, epochs, what a batch must look like."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from dmlbench import Sampler

unhurried = settings(deadline=None, max_examples=60)  # a loaded machine is no failure
seeds = st.integers(0, 2**32 - 1)
steps = st.integers(1, 12)
class_sizes = st.lists(st.integers(1, 7), min_size=1, max_size=12)


def labels_of(class_sizes: list[int], seed: int) -> np.ndarray:
    """Class ids with gaps and below zero, in no order."""
    ids = 7 * np.arange(len(class_sizes)) - 20
    return np.random.default_rng(seed).permutation(np.repeat(ids, class_sizes))


def epoch(
    sampler: Sampler,
    labels: np.ndarray,
    batch_size: int,
    steps: int,
    seed: int,
    **more: np.ndarray,
) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(sampler.batches(labels, batch_size=batch_size, steps=steps, rng=rng, **more))


def spread(counts: Counter, values: Iterable[int]) -> int:
    """How much the most frequent of the values is ahead of the least frequent."""
    frequencies = [counts[value] for value in values]
    return max(frequencies) - min(frequencies)


def assert_well_formed(
    batches: list[np.ndarray], labels: np.ndarray, batch_size: int, steps: int
) -> None:
    assert len(batches) == steps
    for batch in batches:
        assert batch.shape == (batch_size,)
        assert batch.dtype == np.int64
        assert batch.min() >= 0
        assert batch.max() < len(labels)
