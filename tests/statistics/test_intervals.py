import random
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from dmlbench.errors import DataError
from dmlbench.statistics import estimate


@pytest.mark.parametrize("n", [2, 3, 5, 10, 50])
def test_interval_agrees_with_scipy(n: int):
    values = np.random.default_rng(n).normal(0.3, 0.01, n)
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    found = estimate(list(values))
    assert found.mean == pytest.approx(values.mean(), rel=1e-14)
    assert found.half_width == pytest.approx(
        (high - low) / 2, rel=1e-8
    )  # quantiles have nine digits
    assert found.n == n


def test_interval_of_three_values_uses_the_quantile_of_every_textbook():
    found = estimate([1.0, 2.0, 3.0])  # standard error 1 / sqrt(3), t(0.975, 2) = 4.303
    assert found.half_width == pytest.approx(4.303 / 3**0.5, abs=5e-4)


def test_95_of_100_intervals_hold_the_true_mean():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        found = estimate(list(rng.normal(7, 2, 5)))
        inside += abs(found.mean - 7) <= found.half_width
    assert 0.94 < inside / 2000 < 0.96


def test_a_single_value_has_no_interval():
    found = estimate([0.25])
    assert (found.mean, found.half_width, found.n) == (0.25, None, 1)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.0, 1e-300])
@pytest.mark.parametrize("n", [2, 3, 7, 49])
def test_equal_values_have_width_exactly_zero(value: float, n: int):
    found = estimate([value] * n)
    assert (found.mean, found.half_width) == (value, 0.0)


def test_the_order_of_the_values_does_not_change_a_bit():
    values = [random.Random(3).random() for _ in range(5)]
    assert len({estimate(order) for order in permutations(values)}) == 1


def test_no_values_are_refused():
    with pytest.raises(DataError, match="no seed has finished"):
        estimate([])
