"""The tie rule as exact arithmetic has it, and integers that sort as their numbers do."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmlbench.retrieval.engine import thresholds, torch_blocks

similarities = st.floats(-2, 2, width=32)
tolerances = st.sampled_from([0.0, 1e-7, 1e-6, 2.0**-24, 0.1])


@given(similarity=similarities, tolerance=tolerances)
def test_at_least_is_the_smallest_float32_not_below_the_difference(similarity, tolerance):
    threshold = thresholds.at_least(np.float32([similarity]), tolerance)[0]
    exact = Fraction(float(np.float64(similarity) - tolerance))
    assert Fraction(float(threshold)) >= exact
    assert Fraction(float(np.nextafter(threshold, np.float32(-np.inf)))) < exact


@given(similarity=similarities, tolerance=tolerances)
def test_above_is_the_smallest_float32_past_the_sum(similarity, tolerance):
    threshold = thresholds.above(np.float32([similarity]), tolerance)[0]
    exact = Fraction(float(np.float64(similarity) + tolerance))
    assert Fraction(float(threshold)) > exact
    assert Fraction(float(np.nextafter(threshold, np.float32(-np.inf)))) <= exact


@given(similarity=similarities, tolerance=tolerances)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_thresholds_are_numpys(dtype, similarity, tolerance):
    tensor = torch.tensor([similarity], dtype=dtype)
    least, most = (
        f(tensor, tolerance).numpy() for f in (torch_blocks._at_least, torch_blocks._at_most)
    )
    np.testing.assert_array_equal(least, thresholds.at_least(tensor.numpy(), tolerance))
    past = np.nextafter(most, most.dtype.type(np.inf))
    np.testing.assert_array_equal(past, thresholds.above(tensor.numpy(), tolerance))


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2))
def test_integers_compare_as_their_numbers(values):
    numbers = np.float32(values)
    integers = thresholds.sortable(numbers)
    np.testing.assert_array_equal(thresholds.unsortable(integers), numbers)
    for i in range(len(values) - 1):
        assert (integers[i] < integers[i + 1]) == (numbers[i] < numbers[i + 1])
        assert (integers[i] == integers[i + 1]) == (numbers[i] == numbers[i + 1])


def test_keys_sort_by_query_then_similarity_and_give_both_back():
    query = np.array([3, 0, 2**32 - 1, 0, 3])
    similarity = np.float32([-1, 0.5, math.inf, -0.25, -math.inf])
    keys = thresholds.pack(query, similarity)
    order = np.argsort(keys)
    assert order.tolist() == np.lexsort((similarity, query)).tolist()
    assert thresholds.packed_query(keys).tolist() == query.tolist()
    assert thresholds.packed_similarity(keys).tolist() == similarity.tolist()
