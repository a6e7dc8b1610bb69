"""Integers that sort as their numbers do, and keys of a query and a value."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dmlbench.retrieval.engine import packing


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2))
def test_integers_compare_as_their_numbers(values):
    numbers = np.float32(values)
    integers = packing.sortable(numbers)
    np.testing.assert_array_equal(packing.unsortable(integers), numbers)
    for i in range(len(values) - 1):
        assert (integers[i] < integers[i + 1]) == (numbers[i] < numbers[i + 1])
        assert (integers[i] == integers[i + 1]) == (numbers[i] == numbers[i + 1])


def test_keys_sort_by_query_then_value_and_give_both_back():
    query = np.array([3, 0, 2**32 - 1, 0, 3])
    value = np.float32([-1, 0.5, math.inf, -0.25, -math.inf])
    keys = packing.pack(query, value)
    order = np.argsort(keys)
    assert order.tolist() == np.lexsort((value, query)).tolist()
    assert packing.packed_query(keys).tolist() == query.tolist()
    assert packing.packed_value(keys).tolist() == value.tolist()
