"""Several paired comparisons: against scipy, against the definition, and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dmlbench.statistics.multiple_tests import holm, paired_p_value


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=2, max_size=12))
def test_the_p_value_is_that_of_the_paired_t_test(pairs):
    first, second = map(list, zip(*pairs, strict=True))
    if np.ptp(np.subtract(second, first)) > 1e-9:
        expected = stats.ttest_rel(first, second).pvalue
        assert paired_p_value(first, second) == pytest.approx(expected, rel=1e-9)


def test_differences_that_are_all_equal_are_no_certainty_unless_nothing_varies():
    assert paired_p_value([0.4] * 5, [0.5] * 5) == 0.0  # raw pixels: no seed moves them
    steps = np.array([0.90, 0.91, 0.92, 0.91, 0.90])
    assert paired_p_value(steps, steps + 1 / 150) == 2**-4  # one item more, five times
    assert paired_p_value(steps, steps) == 1.0
    assert paired_p_value([0.4], [0.5]) == 1.0


def by_definition(p_values: list[float]) -> list[float]:
    """Step down from the smallest; each may not be below the one before."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    for rank, place in enumerate(order):
        steps = [
            min(1.0, (len(p_values) - before) * p_values[order[before]])
            for before in range(rank + 1)
        ]
        adjusted[place] = max(steps)
    return adjusted.tolist()


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_is_what_its_paper_says(p_values):
    assert holm(p_values) == by_definition(p_values)
    assert all(own <= other for own, other in zip(p_values, holm(p_values), strict=True))


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_of_many_rows_without_a_difference_hardly_a_family_has_a_false_one():
    rng = np.random.default_rng(0)
    families, rows, seeds = 300, 20, 5
    false = 0
    for values in rng.normal(size=(families, 2, rows, seeds)):
        p_values = [paired_p_value(*pair) for pair in values.swapaxes(0, 1)]
        false += min(holm(p_values)) < 0.05
    assert false <= stats.binom.ppf(0.999, families, 0.05)
