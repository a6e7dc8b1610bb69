"""Noise of test classes: against scipy's bootstrap, closed forms and simulated tables."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from dmlbench.errors import DataError
from dmlbench.statistics import class_noise, compare, two_way_half_width
from dmlbench.statistics.class_sampling import RESAMPLES, _draws


def simulated(rng, *, rows=2, seeds=5, classes=50, seed_sd=0.01, class_sd=0.05, cell_sd=0.05):
    """Return values ``[K, n, C]`` of rows that are equally good over all seeds and classes."""
    difficulty = rng.normal(0, 0.1, classes)
    block = rng.normal(0, seed_sd, (1, seeds, 1))
    own = rng.normal(0, seed_sd, (rows, seeds, 1)) + rng.normal(0, class_sd, (rows, 1, classes))
    return 0.5 + difficulty + block + own + rng.normal(0, cell_sd, (rows, seeds, classes))


@pytest.fixture
def sums():
    rng = np.random.default_rng(0)
    counts = rng.integers(5, 40, 60)
    return simulated(rng, rows=3, classes=60) * counts, counts


def test_the_noise_of_a_row_agrees_with_the_bootstrap_of_scipy(sums):
    totals, counts = sums
    noise = class_noise(totals, counts)
    for row in range(3):
        found = stats.bootstrap(
            (totals[row].mean(axis=0), counts),
            lambda sums, items, axis=-1: sums.sum(axis) / items.sum(axis),
            paired=True,
            n_resamples=4000,
            rng=np.random.default_rng(1),
            method="percentile",
        )
        expected = stats.t.ppf(0.975, 59) * found.standard_error
        assert noise.half_widths[row] == pytest.approx(expected, rel=0.08)


def test_the_variance_of_a_difference_is_that_of_a_ratio_of_sums(sums):
    totals, counts = sums
    noise = class_noise(totals, counts)
    difference = (totals[0] - totals[2]).mean(axis=0)
    ratio = difference.sum() / counts.sum()
    linear = difference - ratio * counts  # the delta method
    expected = len(counts) * linear.var(ddof=1) / counts.sum() ** 2
    assert noise.variances[0, 2] == pytest.approx(expected, rel=0.1)
    assert noise.variances[0, 2] == noise.variances[2, 0]
    assert noise.variances.diagonal().tolist() == [0, 0, 0]


def test_what_is_hard_for_all_rows_does_not_blur_their_differences():
    hard = np.random.default_rng(0).normal(0.5, 0.3, 60)
    totals = np.stack([hard, hard + 0.1])[:, None].repeat(5, axis=1)
    noise = class_noise(totals, np.ones(60))
    assert noise.half_widths.min() > 0.05
    assert noise.variances.max() < 1e-20


@pytest.mark.parametrize("classes", [50, 200])
@pytest.mark.parametrize("noise", [(0.0, 0.0), (0.05, 0.05), (0.2, 0.02)], ids=str)
def test_two_way_intervals_hold_the_true_difference_in_95_of_100(classes, noise):
    rng = np.random.default_rng(classes)
    inside = 0
    for _ in range(300):
        values = simulated(rng, classes=classes, class_sd=noise[0], cell_sd=noise[1])
        difference = values[0] - values[1]
        inside += abs(difference.mean()) <= two_way_half_width(difference, np.ones(classes))
    assert inside >= stats.binom.ppf(0.001, 300, 0.95)


def test_without_class_noise_the_two_way_interval_is_the_paired_t_interval():
    by_seed = np.random.default_rng(3).normal(0, 0.01, 6)
    totals = np.repeat(by_seed[:, None], 80, axis=1)
    low, high = stats.t.interval(0.95, 5, by_seed.mean(), stats.sem(by_seed))
    found = two_way_half_width(totals, np.ones(80))
    assert found == pytest.approx((high - low) / 2, rel=0.05)


def test_without_seed_noise_the_two_way_interval_is_that_of_the_classes():
    totals = np.random.default_rng(3).normal(0, 0.1, 80)[None].repeat(5, axis=0)
    found = two_way_half_width(totals, np.ones(80))
    assert found == pytest.approx(class_noise(totals[None], np.ones(80)).half_widths[0], rel=0.03)


def test_a_single_seed_has_no_two_way_interval_and_equal_values_have_width_zero():
    assert two_way_half_width(np.ones((1, 50)), np.ones(50)) is None
    assert two_way_half_width(np.zeros((5, 50)), np.ones(50)) == 0.0


def test_the_same_values_give_the_same_widths(sums):
    totals, counts = sums
    one, other = class_noise(totals, counts), class_noise(totals.copy(), counts.copy())
    assert (one.half_widths == other.half_widths).all()
    assert (one.variances == other.variances).all()


@pytest.mark.parametrize("rows", [2, 10, 35])
def test_claims_about_new_classes_are_false_in_at_most_5_of_100_tables(rows):
    rng = np.random.default_rng(rows)
    errors, without = 0, 0
    for _ in range(200):
        table = simulated(rng, rows=rows, class_sd=0.05)
        values = table.mean(axis=2)
        errors += any(compare(values, class_noise(table, np.ones(50)).variances).worse)
        without += any(compare(values).worse)
    assert errors <= stats.binom.ppf(0.999, 200, 0.05)
    assert without > errors


def test_too_few_classes_or_a_class_without_a_query_are_refused():
    with pytest.raises(DataError, match="needs 50 test classes, each with a query; 49 of 49"):
        class_noise(np.ones((2, 5, 49)), np.ones(49))
    with pytest.raises(DataError, match="59 of 60"):
        two_way_half_width(np.ones((5, 60)), np.r_[np.ones(59), 0])
    with pytest.raises(DataError, match="one finite sum per class"):
        class_noise(np.full((2, 5, 60), np.nan), np.ones(60))


@pytest.mark.parametrize("classes", [60, 3000])
def test_every_resample_draws_as_often_as_it_should_whatever_the_block(classes):
    drawn = np.random.default_rng([0, classes]).integers(classes, size=(RESAMPLES, classes - 1))
    counted = _draws(classes, stream=0)
    for resample in (0, 1, RESAMPLES // 2, RESAMPLES - 1):
        counts = Counter(drawn[resample].tolist())
        assert counted[resample].tolist() == [counts[one] for one in range(classes)]
    assert counted.nbytes == RESAMPLES * classes
