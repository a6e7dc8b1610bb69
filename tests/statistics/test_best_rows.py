"""Rows that can't be told from the best: against scipy, plain loops, and simulated tables."""

import importlib.util
from functools import cache
from itertools import combinations
from pathlib import Path
from statistics import variance

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dmlbench.errors import DataError
from dmlbench.statistics import compare, paired_difference
from dmlbench.statistics.best_rows import critical_value, standard_errors, variances

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ranking_errors():
    path = ROOT / "benchmarks" / "ranking_errors.py"
    spec = importlib.util.spec_from_file_location("ranking_errors", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(rows: int, seeds: int, seed: int = 0, gaps=0.0) -> np.ndarray:
    rng = np.random.default_rng([rows, seeds, seed])
    noise = rng.normal(0, 0.01, (rows, seeds)) + rng.normal(0, 0.02, seeds)
    return 0.3 + noise - np.asarray(gaps)[..., None]


@cache
def studentized_range(rows: int, freedom: int) -> float:
    return stats.studentized_range.ppf(0.95, rows, freedom)


def by_plain_loops(values: np.ndarray) -> list[bool]:
    """Return which rows are worse, from the formulas of the docstring one number at a time."""
    seeds = values.shape[1]
    left, worse = list(range(len(values))), [False] * len(values)
    while len(left) > 1:
        k = len(left)
        freedom = int(min(4, k / 2) * (seeds - 1))
        critical = studentized_range(k, freedom) / 2**0.5
        block = [sum(values[i][s] for i in left) / k for s in range(seeds)]
        own = {i: variance([values[i][s] - block[s] for s in range(seeds)]) for i in left}
        own = {i: value * k / (k - 1) for i, value in own.items()}
        pooled = sum(own.values()) / k
        lost = set()
        for i, j in combinations(left, 2):
            differences = [values[j][s] - values[i][s] for s in range(seeds)]
            square = max(variance(differences), own[i] + own[j], 2 * pooled)
            gap = sum(differences) / seeds
            if abs(gap) > critical * (square / seeds) ** 0.5:
                lost.add(i if gap > 0 else j)
        if not lost:
            break
        for i in lost:
            worse[i] = True
        left = [i for i in left if i not in lost]
    return worse


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("rows", "seeds"), [(3, 5), (7, 5), (12, 10)])
def test_agrees_with_plain_loops(rows: int, seeds: int, seed: int):
    gaps = np.linspace(0, 0.1, rows) if seed % 2 else np.repeat([0, 0.05], [2, rows - 2])
    values = made(rows, seeds, seed, gaps)
    assert list(compare(values).worse) == by_plain_loops(values)


@pytest.mark.parametrize("seeds", [5, 6, 10])
@pytest.mark.parametrize("seed", range(6))
def test_two_rows_are_compared_by_the_paired_t_test(seeds: int, seed: int):
    values = made(2, seeds, seed, [0, 0.01])
    test = stats.ttest_rel(*values)
    low, high = test.confidence_interval(0.95)
    found = compare(values)
    assert any(found.worse) == (test.pvalue < 0.05)
    assert max(one.mean for one in found.behind) == pytest.approx(abs(low + high) / 2)
    assert found.detectable == pytest.approx((high - low) / 2)


def test_the_variance_is_the_residual_mean_square_of_the_two_way_layout():
    values = made(4, 6)
    expected = sum(
        (values[i, s] - values[i].mean() - values[:, s].mean() + values.mean()) ** 2
        for i in range(4)
        for s in range(6)
    ) / (3 * 5)
    assert variances(values).mean() == pytest.approx(expected, rel=1e-12)


def test_without_block_noise_the_pooled_error_is_close_to_that_of_tukey_hsd():
    values = np.random.default_rng(0).normal(size=(4, 2000))
    low = stats.tukey_hsd(*values).confidence_interval(0.95).low[0, 1]
    expected = values[0].mean() - values[1].mean() - low
    width = critical_value(4, 2000) * standard_errors(values)[0, 1]
    assert width == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("rows", "seeds", "tabled"),
    [(3, 11, 3.67), (4, 6, 4.33), (10, 6, 5.01)],  # q(0.95; K, v): v = 15, 10, 20
)
def test_critical_values_are_those_of_the_printed_tables(rows: int, seeds: int, tabled: float):
    assert critical_value(rows, seeds) * 2**0.5 == pytest.approx(tabled, abs=0.005)


@pytest.mark.parametrize("rows", [2, 3, 5, 40, 200])
@pytest.mark.parametrize("seeds", [2, 5, 12])
def test_critical_values_are_quantiles_of_the_studentized_range(rows: int, seeds: int):
    freedom = int(min(4, rows / 2) * (seeds - 1))
    inside = stats.studentized_range.cdf(critical_value(rows, seeds) * 2**0.5, rows, freedom)
    assert inside == pytest.approx(0.95, abs=1e-8)


def test_what_a_seed_does_to_all_rows_changes_nothing():
    values = made(6, 5, gaps=[0, 0, 0, 0.1, 0.1, 0.02])
    moved = values + np.array([3.0, -1.0, 0.5, 0.0, 7.0])
    one, other = compare(values), compare(moved)
    assert one.worse == other.worse
    assert one.detectable == pytest.approx(other.detectable, rel=1e-9)


@given(st.permutations(range(6)), st.permutations(range(5)), st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_and_seeds_does_not_matter(rows, seeds, seed):
    values = made(6, 5, seed, [0, 0.01, 0, 0.06, 0.1, 0.03])
    one, other = compare(values), compare(values[rows][:, seeds])
    assert [one.worse[row] for row in rows] == list(other.worse)
    expected = [one.behind[row].half_width for row in rows]
    assert [found.half_width for found in other.behind] == pytest.approx(expected)


@given(st.integers(2, 8), st.integers(5, 8), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_highest_mean_is_never_worse_and_is_zero_behind(rows, seeds, seed):
    values = made(rows, seeds, seed, np.random.default_rng(seed).uniform(0, 0.1, rows))
    found, best = compare(values), values.mean(axis=1).argmax()
    assert not found.worse[best]
    assert found.behind[best].mean == 0
    assert min(one.mean for one in found.behind) == 0


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_below_five_seeds_no_row_is_worse_and_no_difference_would_do(seeds: int):
    found = compare(made(3, seeds, gaps=[0, 10, 20]))
    assert found.worse == (False, False, False)
    assert found.detectable is None
    assert (found.behind[1].half_width is None) == (seeds == 1)


def test_a_single_row_is_not_worse():
    found = compare(made(1, 5))
    assert (found.worse, found.detectable) == ((False,), None)


def test_identical_rows_cannot_be_told_apart():
    row = made(1, 5)
    assert not any(compare(np.repeat(row, 4, axis=0)).worse)


def test_without_any_noise_differences_are_real_and_rounding_is_none():
    assert compare(np.array([[0.3] * 5, [0.2] * 5])).worse == (False, True)
    assert compare(np.array([[0.3] * 5, [0.1 + 0.2] * 5])).worse == (False, False)


def test_a_row_without_noise_does_not_make_the_others_exact():
    noisy = made(3, 5)
    values = np.vstack([noisy, np.full(5, noisy.mean() + 0.001)])
    assert not any(compare(values).worse)


def test_rows_far_below_do_not_make_the_good_ones_harder_to_tell_apart():
    good = made(2, 5, seed=1, gaps=[0, 0.03])
    assert compare(good).worse == (False, True)
    low = np.random.default_rng(0).normal(-5, 0.05, (20, 5))
    assert compare(np.vstack([good, low])).worse == (False,) + 21 * (True,)
    assert compare(np.vstack([good, low])).detectable == pytest.approx(compare(good).detectable)


@pytest.mark.parametrize("values", [np.zeros((0, 5)), np.zeros((3, 0)), np.zeros(3), [[np.nan]]])
def test_what_cannot_be_compared_is_refused(values):
    with pytest.raises(DataError, match="finite values"):
        compare(values)


def test_paired_differences_agree_with_scipy_and_use_common_seeds():
    one, other = made(2, 7)
    first = dict(enumerate(one))
    second = {seed: value for seed, value in enumerate(other) if seed != 3} | {99: 5.0}
    found = paired_difference(first, second)
    kept = [0, 1, 2, 4, 5, 6]
    low, high = stats.ttest_rel(one[kept], other[kept]).confidence_interval(0.95)
    assert found.n == 6
    assert found.mean - found.half_width == pytest.approx(low, rel=1e-8)
    assert found.mean + found.half_width == pytest.approx(high, rel=1e-8)
    assert paired_difference(first, {99: 1.0}) is None


@pytest.mark.parametrize("rows", [2, 6, 15])
@pytest.mark.parametrize("noise", ["equal", "one noisy", "a third noisy", "graded"])
def test_equally_good_rows_are_called_worse_in_at_most_5_of_100_tables(rows: int, noise: str):
    place = np.arange(rows)
    deviations = {
        "equal": np.ones(rows),
        "one noisy": np.where(place == 0, 5.0, 1.0),
        "a third noisy": np.where(place % 3 == 0, 5.0, 1.0),
        "graded": np.geomspace(0.3, 3, rows),
    }[noise]
    rng = np.random.default_rng(rows)
    own = rng.normal(size=(400, rows, 5)) * deviations[:, None]
    tables = own + rng.normal(size=(400, 1, 5))
    errors = sum(any(compare(table).worse) for table in tables)
    assert errors <= stats.binom.ppf(0.999, 400, 0.05)


def test_two_good_rows_above_many_are_held_to_5_of_100_and_told_apart_as_two_rows():
    rng = np.random.default_rng(4)
    tables = rng.normal(size=(400, 12, 5))
    tables[:, 2:] -= 30
    errors = sum(any(compare(table).worse[:2]) for table in tables)
    assert errors <= stats.binom.ppf(0.999, 400, 0.05)
    tables[:, 1] -= 0.5 / 0.57 * 2**0.5  # paired sd 0.57, gap 0.5: 33 % in theory
    found = sum(compare(table).worse[1] for table in tables)
    assert 0.26 < found / 400 < 0.40


# Dunnett 1955, table 1a: one-sided, 95 %.
@pytest.mark.parametrize(
    ("comparisons", "freedom", "tabled"),
    [(1, 5, 2.02), (2, 5, 2.44), (9, 5, 3.30), (1, 10, 1.81), (5, 10, 2.56), (9, 10, 2.81)],
)
def test_dunnett_values_of_the_simulation_are_those_of_the_printed_table(
    ranking_errors, comparisons: int, freedom: int, tabled: float
):
    assert ranking_errors.dunnett(comparisons, freedom) == pytest.approx(tabled, abs=0.01)


def test_dunnett_values_of_the_simulation_agree_with_scipy(ranking_errors):
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(4, 8))
    pooled = groups.var(axis=1, ddof=1).mean()
    shift = ranking_errors.dunnett(3, 28) * np.sqrt(2 * pooled / 8)
    control = groups[3] - groups[3].mean()
    others = [group - group.mean() for group in groups[:3]]
    others[0] = others[0] + shift  # exactly at the critical value
    test = stats.dunnett(*others, control=control, alternative="greater", random_state=rng)
    assert test.pvalue[0] == pytest.approx(0.05, abs=0.001)


def test_the_naive_tests_of_the_simulation_agree_with_scipy(ranking_errors):
    table = made(6, 5, 3, [0, 0.02, 0.01, 0.03, 0.05, 0.0])
    best = table.mean(axis=1).argmax()
    others = [row for row in range(6) if row != best]
    for paired, test in ((True, stats.ttest_rel), (False, stats.ttest_ind)):
        p = np.array([test(table[row], table[best]).pvalue for row in others])
        plain = ranking_errors.naive(table[None], paired=paired, holm=False)[0]
        assert [plain[row] for row in others] == list(p < 0.05)
        falls = np.zeros(5, dtype=bool)
        for place, row in enumerate(np.argsort(p)):
            if p[row] >= 0.05 / (5 - place):
                break
            falls[row] = True
        holm = ranking_errors.naive(table[None], paired=paired, holm=True)[0]
        assert [holm[row] for row in others] == list(falls)
        assert not plain[best]
        assert not holm[best]
