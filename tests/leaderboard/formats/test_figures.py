"""Files hold six significant digits: the last bits of a sum can't move them."""

import csv
import io
import json
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dmlbench.leaderboard.formats.csv import to_csv
from dmlbench.leaderboard.formats.figures import all_written, written
from dmlbench.leaderboard.formats.json import to_json
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import make_tables
from dmlbench.statistics import Estimate

SIX = Context(prec=6, rounding=ROUND_HALF_EVEN)
figures = st.floats(-1e5, 1e5).filter(lambda value: abs(value) > 1e-6)


@given(figures)
@settings(deadline=None)
def test_a_figure_is_rounded_once_to_six_significant_digits(value: float):
    assert Decimal(repr(written(value))) == SIX.create_decimal(Decimal(value))
    assert written(written(value)) == written(value)


@given(figures, st.integers(-50, 50))
@settings(deadline=None)
def test_the_last_bits_do_not_move_what_is_written(value: float, bits: int):
    moved = value * (1 + bits * 2**-52)
    digits = SIX.create_decimal(Decimal(value))
    unit = Decimal(10) ** digits.as_tuple().exponent
    assume(abs(abs(Decimal(value) - digits) / unit - Decimal("0.5")) > Decimal("1e-6"))
    assert written(moved) == written(value)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False))
@settings(deadline=None)
def test_what_is_written_keeps_the_order(first: float, second: float):
    assume(second - second == 0)
    low, high = sorted((first, second))
    assert written(low) <= written(high)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1234567.8, 1234568.0), (-98765432.1, -98765432.0), (3e-17, 0.0), (-3e-17, 0.0), (-0.0, 0.0)],
)
def test_whole_parts_stay_and_what_cancelled_out_is_zero(value: float, expected: float):
    assert str(written(value)) == str(expected)


def test_a_document_is_written_whole_and_what_is_no_number_is_null():
    content = {"a": [1 / 3, (2 / 3,)], "n": 1234567, "nan": float("nan"), "yes": True, "text": "x"}
    assert all_written(content) == {
        **{"a": [0.333333, [0.666667]], "n": 1234567, "nan": None, "yes": True, "text": "x"}
    }


def floats_in(content: object) -> Iterator[float]:
    if isinstance(content, float):
        yield content
    elif isinstance(content, dict | list):
        for one in content.values() if isinstance(content, dict) else content:
            yield from floats_in(one)


def test_no_column_of_a_file_has_more_digits(glyphs_records):
    (table,) = make_tables(glyphs_records)
    document = json.loads(to_json(table)) | {"protocol_fields": {}}  # settings, as they were given
    lines = csv.DictReader(io.StringIO(to_csv(table)))
    numbers = re.compile(r"-?[0-9.]+(e-?[0-9]+)?")
    cells = [cell for line in lines for cell in line.values() if numbers.fullmatch(cell)]
    found = [*floats_in(document), *map(float, cells)]
    assert len(found) > 500
    assert [one for one in found if one != written(one)] == []


def test_rows_with_means_written_alike_are_ordered_by_name_and_not_below(record):
    floor = [record(baseline="pixels", seed=seed, map_at_r=0.3) for seed in range(2)]
    rows = [record("triplet", None, seed=seed, map_at_r=0.3 - 1e-9) for seed in range(2)]
    rows += [record("arcface", None, seed=seed, map_at_r=0.3 - 2e-9) for seed in range(2)]
    (table,) = make_tables(floor + rows)
    assert [row.label for row in table.rows] == ["arcface", "pixels", "triplet"]
    assert not any("MAP@R" in lost for row in table.rows for lost in row.below.values())
    lower = [record("margin", None, seed=seed, map_at_r=0.3 - 2e-6) for seed in range(2)]
    (table,) = make_tables(floor + lower)
    assert table.rows[-1].below == {"pixels": ("MAP@R",)}


def test_noise_in_the_last_bits_of_every_mean_changes_no_byte(glyphs_records, monkeypatch):
    expected = [(to_csv(table), to_json(table)) for table in make_tables(glyphs_records)]
    metrics = Row.metrics.func

    def noisy(row: Row) -> dict[str, Estimate]:
        factor = 1 + (len(row.label) % 5 - 2) * 2**-52
        return {
            name: Estimate(one.mean * factor, one.half_width and one.half_width * factor, one.n)
            for name, one in metrics(row).items()
        }

    monkeypatch.setattr(Row, "metrics", property(noisy))
    assert [(to_csv(table), to_json(table)) for table in make_tables(glyphs_records)] == expected
