import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from dmlbench.leaderboard.formats.terminal import print_tables
from dmlbench.schemas.record import Record


def printed(records: Sequence[Record], *, encoding: str = "utf-8", **options) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_tables(records, Console(file=file, **options))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def test_lines_fit_100_columns_and_figures_are_whole(glyphs_records):
    text = printed(glyphs_records, width=200)
    assert max(map(len, text.splitlines())) <= 100
    line = next(line for line in text.splitlines() if "multi-similarity +" in line)
    assert "67.95 ± 1.67   32.14 ± 1.55" in line
    assert "…" not in line


def test_the_table_goes_to_standard_output_in_full_width_without_a_terminal(
    glyphs_records, capsys, monkeypatch
):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_tables(glyphs_records)
    text = capsys.readouterr().out
    assert "multi-similarity + multi-similarity" in text
    assert "\x1b" not in text


def test_marks_and_seeds_are_shown(glyphs_records):
    lines = printed(glyphs_records, width=100).splitlines()
    (failed,) = [line for line in lines if line.lstrip().startswith("arcface")]
    assert "2 of 3" in failed
    start = next(i for i, line in enumerate(lines) if "batch-hard" in line)
    assert "collapsed" in " ".join(lines[start : start + 2])
    assert "pixels" in " ".join(lines[start : start + 2])
    assert any("broken-loss" in line and "0 of 3" in line for line in lines)


def test_a_terminal_gets_colours(glyphs_records):
    assert "\x1b[" in printed(glyphs_records, width=100, force_terminal=True)


def test_ascii_output_holds_no_other_characters(glyphs_records):
    text = printed(glyphs_records, width=100, encoding="ascii")
    assert "+/-" in text
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
