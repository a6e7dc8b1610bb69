"""What changed between two sets of records, and when a difference is called real."""

import numpy as np
import pytest
from scipy import stats

from dmlbench.audit.table_differences import (
    EQUAL,
    FEW,
    NONE,
    ONLY_FIRST,
    ONLY_SECOND,
    REAL,
    SAME,
    compare_sets,
)
from dmlbench.schemas.protocol_file import load_protocol

NOISE = (0.003, -0.001, 0.002, -0.002, 0.001, 0.0)


def rows_of(first, second):
    return {row.label: row for row in compare_sets(first, second).rows}


@pytest.fixture
def row(record):
    """Return a function that makes the records of a row, one a seed, around a mean."""

    def make(loss="triplet", mean=0.3, seeds=5, **fields):
        return [
            record(loss, None, seed=seed, map_at_r=mean + NOISE[seed], **fields)
            for seed in range(seeds)
        ]

    return make


def test_records_beside_themselves_are_equal_to_the_bit(glyphs_records, cross_validated):
    records = [*glyphs_records, *cross_validated]
    found = compare_sets(records, records)
    assert {one.verdict for one in found.rows} == {EQUAL, NONE}
    broken = [one for one in found.rows if one.verdict == NONE]
    assert [one.label for one in broken] == ["broken-loss"]  # it never finished
    assert (found.versions, found.settings, found.tested) == ({}, {}, 0)
    assert not any(one.changes for one in found.rows)


def test_rows_of_one_side_are_told(row):
    found = rows_of([*row("triplet"), *row("angular")], [*row("triplet"), *row("circle")])
    assert found["angular"].verdict == ONLY_FIRST
    assert found["circle"].verdict == ONLY_SECOND
    assert found["triplet"].verdict == EQUAL


def test_interval_and_p_value_are_those_of_scipy(row):
    rng = np.random.default_rng(1)
    first, second = row(seeds=5), row(seeds=5)
    shifts = rng.normal(0.01, 0.004, 5)
    for one, shift in zip(second, shifts, strict=True):
        one.metrics["map_at_r"] += shift
    (found,) = compare_sets(first, second).rows
    test = stats.ttest_rel(
        [one.metrics["map_at_r"] for one in second], [one.metrics["map_at_r"] for one in first]
    )
    low, high = test.confidence_interval(0.95)
    assert found.p_value == pytest.approx(test.pvalue)
    assert found.difference.mean == pytest.approx((low + high) / 2)
    assert found.difference.half_width == pytest.approx((high - low) / 2)
    assert found.verdict == (REAL if test.pvalue < 0.05 else SAME)


def test_a_clear_difference_is_real_and_noise_is_not(row):
    first = [*row("triplet"), *row("circle")]
    shift = [0.05, 0.051, 0.049, 0.052, 0.048]
    noise = [0.004, -0.003, 0.002, -0.004, 0.001]
    second = [*row("triplet"), *row("circle")]
    for one, more in zip(second, [*shift, *noise], strict=True):
        one.metrics["map_at_r"] += more
    found = rows_of(first, second)
    assert found["triplet"].verdict == REAL
    assert found["circle"].verdict == SAME


def test_the_promise_is_for_all_rows_at_once(row):
    """One row with p = 0.03 is real alone, and is not among nine others."""
    change = np.array([0.01, 0.002, 0.006, 0.013, 0.004])
    alone = stats.ttest_1samp(change, 0).pvalue
    assert 0.01 < alone < 0.05
    losses = ["triplet", *(f"loss-{number}" for number in range(9))]
    first = [one for loss in losses for one in row(loss)]
    second = [one for loss in losses for one in row(loss)]
    still = np.array([0.004, -0.003, 0.002, -0.004, 0.001])
    for one, more in zip(second, [*change, *np.tile(still, 9)], strict=True):
        one.metrics["map_at_r"] += more
    assert rows_of(first[:5], second[:5])["triplet"].verdict == REAL
    among = rows_of(first, second)["triplet"]
    assert among.p_value == pytest.approx(10 * alone)
    assert among.verdict == SAME


def test_under_five_common_seeds_nothing_is_real(row):
    first, second = row(seeds=4), row(mean=0.9, seeds=6)
    (found,) = compare_sets(first, second).rows
    assert (found.verdict, found.seeds, found.p_value) == (FEW, (0, 1, 2, 3), None)
    assert found.difference.mean == pytest.approx(0.6)
    (apart,) = compare_sets(row(seeds=1), row(seeds=2)[1:]).rows
    assert (apart.verdict, apart.difference) == (NONE, None)


def test_failed_seeds_do_not_count(record, row):
    failed = record("triplet", None, seed=4, status="failed", reason="no memory")
    (found,) = compare_sets(row(seeds=5), [*row(mean=0.4, seeds=4), failed]).rows
    assert found.seeds == (0, 1, 2, 3)


def test_what_a_newer_dmlbench_keeps_besides_is_no_difference(row):
    older = [one.model_copy(update={"per_query": {}}) for one in row()]
    (found,) = compare_sets(older, row()).rows
    assert found.verdict == EQUAL


def test_changed_settings_sources_and_versions_are_named(row, part):
    before = part("triplet", settings={"margin": 0.2}, source="a" * 64)
    after = part("triplet", settings={"margin": 0.3}, changed={"margin": 0.3}, source="b" * 64)
    newer = {"python": "3.12.4", "torch": "2.16.0", "numpy": "2.4.6", "dmlbench": "0.1.0"}
    found = compare_sets(row(before), row(after, versions=newer))
    (only,) = found.rows
    assert only.label == "triplet -> triplet (margin=0.3)"
    assert only.changes == (
        "loss.margin: 0.2 -> 0.3",
        "loss triplet, source: aaaaaaa -> bbbbbbb",
    )
    assert found.versions == {"torch": ("2.15.0", "2.16.0")}


def test_changed_data_and_protocol_are_named(row):
    small = load_protocol("small")
    longer = small.change("length.epochs", "20")
    found = compare_sets(row(), row(protocol=longer, fingerprint="0" * 64))
    (only,) = found.rows
    assert only.table == "glyphs · small -> glyphs · small+epochs=20"
    assert only.changes == (
        "data: ffffffffffffffff -> 0000000000000000",
        f"protocol.length.epochs: {small.length.epochs} -> 20",
    )


def test_tables_of_one_dataset_are_not_mixed_up(row):
    small, longer = load_protocol("small"), load_protocol("small").change("length.epochs", "20")
    first = [*row(), *row(mean=0.4, protocol=longer)]
    second = [*row(mean=0.4, protocol=longer), *row()]
    assert {one.verdict for one in compare_sets(first, second).rows} == {EQUAL}
    assert small.name == "small"
