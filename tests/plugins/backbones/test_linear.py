"""The linear backbone: standardised features and nothing to learn."""

import numpy as np
import pytest
import torch
from support.networks import built, parameter_count

from dmlbench import ConfigError
from dmlbench_backbones.linear import Linear


def test_linear_has_nothing_to_learn_and_keeps_every_feature():
    network = built(Linear(), (7,))
    assert Linear.modality == "vector"
    assert network.num_features == 7
    assert parameter_count(network) == 0


def test_linear_standardises_each_training_batch():
    vectors = np.random.default_rng(0).normal(3, [0.5, 1, 40], (50, 3)).astype(np.float32)
    standardised = built(Linear(), (3,)).train()(torch.from_numpy(vectors)).numpy()
    expected = (vectors - vectors.mean(0)) / vectors.std(0)
    assert np.allclose(standardised, expected, atol=1e-3)


def test_linear_evaluates_by_the_average_over_all_training_batches():
    batches = np.random.default_rng(0).normal(-1, [2, 9], (30, 16, 2)).astype(np.float32)
    network = built(Linear(), (2,)).train()
    for batch in batches:
        network(torch.from_numpy(batch))
    mean = batches.mean(1).mean(0)
    deviation = np.sqrt(batches.var(1, ddof=1).mean(0))
    test = np.array([[0.0, 1.0], [5.0, -3.0]], dtype=np.float32)
    standardised = network.eval()(torch.from_numpy(test)).numpy()
    assert np.allclose(standardised, (test - mean) / deviation, atol=1e-4)


def test_linear_changes_nothing_before_the_first_batch():
    vectors = torch.tensor([[3.0, -200.0]])
    assert torch.allclose(built(Linear(), (2,)).eval()(vectors), vectors, rtol=1e-4)


def test_linear_makes_a_constant_feature_zero():
    standardised = built(Linear(), (1,)).train()(torch.full((9, 1), 4.5))
    assert torch.allclose(standardised, torch.zeros(9, 1), atol=1e-3)


def test_linear_refuses_images():
    with pytest.raises(ConfigError, match=r"vectors \[D\].*small-conv"):
        Linear().build((1, 28, 28))
