"""What every sampler does: an epoch of its generator alone, and no epoch of nothing."""

import inspect
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare
from support.sampler_epochs import epoch, labels_of

from dmlbench import ConfigError, DataError, Sampler
from dmlbench_samplers.class_balanced import ClassBalanced
from dmlbench_samplers.core_set import CoreSet
from dmlbench_samplers.hierarchical import Hierarchical
from dmlbench_samplers.m_per_class import MPerClass
from dmlbench_samplers.shuffled import Shuffled

SAMPLERS = [ClassBalanced(), CoreSet(pool=30), Hierarchical(), MPerClass(m=2), Shuffled()]

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda it: type(it).__name__)


def asked_for(sampler: Sampler, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the sampler wants beside labels: super-classes, embeddings, or nothing."""
    embeddings = np.random.default_rng(0).standard_normal((len(labels), 4)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    there = {"groups": labels // 30, "embeddings": embeddings}
    return {
        name: there[name] for name in inspect.signature(sampler.batches).parameters.keys() & there
    }


@every_sampler
def test_an_epoch_depends_on_its_generator_alone(sampler):
    labels = labels_of([5] * 12, seed=0)
    given = {"labels": labels, **asked_for(sampler, labels)}
    before = {name: array.copy() for name, array in given.items()}
    state = np.random.get_state()[1].copy()
    first, again, other = (
        np.stack(epoch(sampler, batch_size=8, steps=20, seed=seed, **given)).tolist()
        for seed in (4, 4, 5)
    )
    assert first == again
    assert first != other
    assert np.array_equal(np.random.get_state()[1], state)
    assert all(np.array_equal(array, before[name]) for name, array in given.items())


@pytest.mark.parametrize("sampler", [MPerClass(m=2), Shuffled()])
def test_every_item_is_as_likely_as_any_other_in_any_batch_of_an_epoch(sampler):
    labels = labels_of([3] * 10, seed=0)
    epochs = [epoch(sampler, labels, 8, 9, seed) for seed in range(900)]
    for step in (0, 4, 8):
        counts = Counter(int(i) for batches in epochs for i in batches[step])
        # Items of one batch exclude one another, so the statistic is smaller than chi-square, save
        # that those of a class come by twos.
        assert chisquare([counts[i] for i in range(30)]).pvalue > 1e-3


@every_sampler
def test_a_set_without_items_is_refused_before_the_first_batch(sampler):
    nothing = np.array([], int)
    more = asked_for(sampler, nothing)
    with pytest.raises(DataError, match="no training items"):
        sampler.batches(nothing, batch_size=4, steps=1, rng=np.random.default_rng(), **more)


@pytest.mark.parametrize("kind", [CoreSet, Hierarchical, MPerClass])
@pytest.mark.parametrize(("batch_size", "m"), [(32, 5), (3, 4), (65, 64), (30, 4)])
def test_a_batch_size_that_is_no_multiple_of_m_is_refused(kind, batch_size, m):
    sampler, labels = kind(m=m), labels_of([10] * 10, seed=0)
    with pytest.raises(ConfigError, match=f"batches of {batch_size} with m = {m}.*multiple of {m}"):
        sampler.batches(
            labels,
            batch_size=batch_size,
            steps=1,
            rng=np.random.default_rng(),
            **asked_for(sampler, labels),
        )
