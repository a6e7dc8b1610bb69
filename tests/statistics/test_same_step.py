"""Rows that differ by the same step at every seed: one rule for tables, differences and sets."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from support.made_records import record

from dmlbench.audit.table_differences import REAL, SAME, compare_sets
from dmlbench.leaderboard.tables import make_tables
from dmlbench.statistics import compare, paired_difference
from dmlbench.statistics.multiple_tests import paired_p_value
from dmlbench.statistics.same_step import sign_test

ITEM = 1 / 150
"""The step of an accuracy on 150 items: one more is right."""


def row(seeds: int) -> np.ndarray:
    return 0.9 + ITEM * np.array([0, 1, 2, 1, 0, 3, 2, 0, 1])[:seeds]


@pytest.mark.parametrize(("seeds", "apart"), [(5, False), (6, True)])
def test_two_rows_a_step_apart_are_told_by_the_sign_test_alone(seeds: int, apart: bool):
    values = np.stack([row(seeds), row(seeds) - ITEM])
    p = stats.binomtest(seeds, seeds).pvalue
    assert (sign_test(seeds), paired_p_value(*values)) == (p, p)
    found = compare(values)
    assert found.worse == (False, apart)
    (difference,) = {paired_difference(*(dict(enumerate(one)) for one in values))}
    for one in (found.behind[1], difference):
        assert one.mean == pytest.approx(ITEM)
        assert one.half_width == (pytest.approx(0, abs=1e-15) if apart else None)
    assert (found.detectable is None) == (not apart)


def test_all_pairs_of_a_table_count_in_the_sign_test():
    def parallel(seeds: int) -> np.ndarray:
        return np.stack([row(seeds), row(seeds) - ITEM, row(seeds) - 20 * ITEM])

    assert compare(parallel(6)).worse == (False, False, False)  # 3 pairs of 1/32
    assert compare(parallel(7)).worse == (False, True, True)  # of 1/64


def test_rows_a_step_apart_stay_together_when_a_noisy_one_has_dropped_out():
    noisy = np.array([0.1, 0.15, 0.12, 0.09, 0.14])
    values = np.stack([row(5), row(5) - ITEM, noisy])
    assert compare(values).worse == (False, False, True)
    assert compare(values, np.full((3, 3), 1e-6)).worse == (False, False, True)


def test_rows_that_no_seed_changes_are_apart_by_any_step_but_rounding():
    fixed = [0.9] * 5
    assert compare(np.array([fixed, [0.9 - ITEM] * 5])).worse == (False, True)
    assert paired_p_value(fixed, [0.9 - ITEM] * 5) == 0.0
    assert compare(np.array([fixed, [0.9 + 1e-15] * 5])).worse == (False, False)
    assert paired_p_value(fixed, [0.9 + 1e-15] * 5) == 1.0


lattices = st.integers(5, 8).flatmap(
    lambda seeds: st.lists(
        st.lists(st.integers(0, 3), min_size=seeds, max_size=seeds), min_size=2, max_size=5
    )
)


@given(lattices, st.sampled_from([ITEM, 0.1, 1e-3, 1 / 3]))
@settings(deadline=None)
def test_a_table_tells_no_two_rows_apart_that_a_paired_test_does_not(items, step):
    values = 0.5 + step * np.array(items)
    means = values.mean(axis=1)
    p_values = {
        (i, j): paired_p_value(values[i], values[j])
        for i in range(len(values))
        for j in range(len(values))
        if means[j] > means[i]
    }
    assume(all(abs(p - 0.05) > 1e-6 for p in p_values.values()))
    for i, worse in enumerate(compare(values).worse):
        beaten = any(p < 0.05 for (loser, _), p in p_values.items() if loser == i)
        assert beaten or not worse
        if len(values) == 2:
            assert worse == beaten


@pytest.mark.parametrize("seeds", [5, 6])
def test_tables_and_sets_of_records_agree_on_a_step(seeds: int):
    def trials(loss: str, values: np.ndarray) -> list:
        return [record(loss, None, seed=s, map_at_r=v) for s, v in enumerate(values.tolist())]

    better, worse = trials("triplet", row(seeds)), trials("contrastive", row(seeds) - ITEM)
    (table,) = make_tables(better + worse)
    ranking = table.rankings["small-conv"]
    groups = [ranking.group(one) for one in table.rows]
    (changed,) = compare_sets(better, trials("triplet", row(seeds) - ITEM)).rows
    assert groups == (["best", "worse"] if seeds == 6 else ["best", "best"])
    assert changed.verdict == (REAL if seeds == 6 else SAME)
    assert ("same step" in " ".join(ranking.sentences())) == (seeds == 5)
