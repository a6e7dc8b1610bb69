"""Passes over all pairs: the same values and gradients as autograd takes the long way."""

import pytest
import torch
from support.loss_loops import REFERENCES, assert_same, make_batch

from dmlbench import Pairs
from dmlbench_losses.dense import as_numbers, is_above, is_below, weighted_distance


def weights(pairs: Pairs) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(pairs.positive.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("normalized", [True, False])
def test_a_weighted_distance_is_the_sum_of_weights_times_distances(references, normalized):
    batch = make_batch(references)
    of = batch.pairs
    pairs = Pairs(
        of.anchors,
        of.labels,
        of.references,
        of.reference_labels,
        of.self_index,
        normalized=normalized,
    )
    weight = weights(pairs)
    apart = pairs.distance.detach() > 1e-3  # the anchor itself counts with its rounding errors
    actual = weighted_distance(pairs, weight * apart)
    expected = sum(
        weight[i, j] * batch.d(i, j)
        for i in range(len(weight))
        for j in range(weight.shape[1])
        if apart[i, j]
    )
    assert_same(actual, expected, batch.raw, 1e-9)


def test_equal_embeddings_have_a_distance_without_a_slope():
    for dtype in (torch.float32, torch.float64):
        point = torch.tensor([[0.6, 0.8], [0.6, 0.8]], dtype=dtype, requires_grad=True)
        pairs = Pairs(point, torch.tensor([0, 0]))
        weighted_distance(pairs, torch.ones(2, 2, dtype=dtype)).backward()
        assert torch.equal(point.grad, torch.zeros(2, 2, dtype=dtype))


def test_a_distance_that_is_not_a_number_counts_without_a_weight():
    point = torch.tensor([[1.0, 0.0], [torch.nan, 0.0]], requires_grad=True)
    pairs = Pairs(point, torch.tensor([0, 0]))
    assert weighted_distance(pairs, torch.zeros(2, 2)).isnan()


def test_numbers_and_comparisons_are_ones_and_zeros_of_the_type_of_the_values():
    values = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    numbers = as_numbers(torch.tensor([True, False, True]), values)
    for found, expected in (
        (numbers, [1, 0, 1]),
        (is_above(values, 0.0), [0, 0, 1]),
        (is_below(values, torch.tensor(0.0)), [1, 0, 0]),
    ):
        assert found.dtype == torch.float64
        assert found.tolist() == expected
