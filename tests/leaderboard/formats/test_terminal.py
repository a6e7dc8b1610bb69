import io
import re
from collections.abc import Sequence

import pytest
from rich.console import Console

from dmlbench.leaderboard.formats.terminal import default_console, print_tables
from dmlbench.leaderboard.metric_names import percent
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table, make_tables
from dmlbench.schemas.record import Record


def printed(records: Sequence[Record], *, encoding: str = "utf-8", **options) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_tables(records, Console(file=file, **options))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_a_row_is_one_line_at_any_width_with_whole_figures(glyphs_records, width):
    (table,) = make_tables(glyphs_records)
    text = printed(glyphs_records, width=width)
    assert max(map(len, text.splitlines())) <= width
    lines = [line for line in text.partition("───")[2].splitlines()[1:] if line.strip()]
    for row, line in zip(sorted_as_shown(table), lines, strict=False):
        label = line.strip().split("  ")[0].rstrip("…")
        assert row.label.startswith(label)
        assert len(label) >= min(len(row.label), 15)
        assert percent(row.metrics.get("map_at_r")) in line


def sorted_as_shown(table: Table) -> list[Row]:
    return [*table.trained, *table.baselines, *table.failed]


def test_what_does_not_fit_is_counted_or_left_out_and_named(glyphs_records):
    wide, narrow = (printed(glyphs_records, width=width) for width in (160, 60))
    assert "untrained, pixels" in wide
    assert "Left out" not in wide
    assert "Recall@1  " in wide
    assert "Recall@1  " not in narrow
    assert "Left out at this width: Recall@1, Below. The pages have it." in narrow
    middle = printed(glyphs_records, width=90)
    assert " 2 floors " in middle
    assert "Left out at this width: which floors" in middle


@pytest.mark.parametrize(("columns", "width"), [(None, 100), ("80", 80), ("150", 150)])
def test_without_a_terminal_the_width_is_that_of_columns(
    glyphs_records, capsys, monkeypatch, columns, width
):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert default_console().width == width
    print_tables(glyphs_records)
    text = capsys.readouterr().out
    assert "multi-similarity + multi-s" in text
    assert "\x1b" not in text


def test_failed_and_collapsed_seeds_are_shown(glyphs_records):
    lines = printed(glyphs_records, width=120).splitlines()
    (failed,) = [line for line in lines if line.lstrip().startswith("arcface")]
    assert "2 of 3" in failed
    (collapsed,) = [line for line in lines if "batch-hard" in line]
    assert "3, 1 collapsed" in collapsed
    assert any("broken-loss" in line and "0 of 3" in line for line in lines)


def test_one_seed_has_no_interval_and_no_sign_of_one(record):
    text = printed([record("triplet", map_at_r=0.25)], width=100)
    assert "25.00" in text
    assert "25.00 ±" not in text


def test_a_terminal_gets_colours(glyphs_records):
    assert "\x1b[" in printed(glyphs_records, width=100, force_terminal=True)


def test_ascii_output_holds_no_other_characters(glyphs_records):
    text = printed(glyphs_records, width=100, encoding="ascii")
    assert re.search(r"32\.14 \+/- 1\.55 .* 67\.95 \+/- 1\.67 ", text)
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()


def test_markup_and_control_characters_in_names_are_only_text(record):
    text = printed([record("[red]x[/red]\x1b[31m\nnext", None)], width=100)
    assert "[red]x[/red] [31m next" in text
    assert "\x1b" not in text


def test_backbones_have_headings_of_their_own(record, part):
    text = printed([record(), record(parts={"backbone": part("linear")})], width=100)
    assert "[linear]" in text
    assert "[small-conv]" in text


def test_cross_validation_has_one_column(cross_validated):
    text = printed(cross_validated, width=100)
    assert "5-NN accuracy" in text
    assert "Recall" not in text


@pytest.mark.parametrize("records", [[], ()])
def test_no_records_are_said(records):
    assert printed(records, width=100) == "There are no records, so there is no table.\n"
