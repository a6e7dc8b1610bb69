"""How often a row is above another."""

import numpy as np

from dmlbench.leaderboard.formats.markdown import MOST_ROWS
from dmlbench.leaderboard.publish import files_by_path
from dmlbench.leaderboard.tables import make_tables
from dmlbench.leaderboard.win_rates import win_rates


def rates(records):
    (table,) = make_tables(records)
    return win_rates(table)


def test_shares_count_seeds_and_equal_values_are_a_win_of_neither(record):
    values = {"a": (0.5, 0.4, 0.3, 0.6), "b": (0.4, 0.4, 0.2, 0.7)}
    made = [
        record(loss, None, seed=seed, map_at_r=value)
        for loss, some in values.items()
        for seed, value in enumerate(some)
    ]
    found = rates(made)
    assert [row.label for row in found.rows] == ["a", "b"]
    assert found.shares.tolist() == [[0, 0.5], [0.25, 0]]
    files = files_by_path(made)
    assert files["glyphs/small.win-rates.csv"] == "row,a,b\na,,0.5\nb,0.25,\n"
    assert "| 1  | a     |     |  50 |" in files["glyphs/small.md"]


def test_rows_without_the_common_seeds_are_left_out(record):
    made = [record(loss, None, seed=seed) for loss in "abc" for seed in range(4)][:-1]
    assert [row.label for row in rates(made).rows] == ["a", "b"]
    assert rates(made[:1]) is None
    assert rates([made[0], made[4]]) is None  # one seed wins or loses all


def test_a_page_compares_the_first_rows_and_the_file_all(record):
    rng = np.random.default_rng(0)
    made = [
        record(f"loss-{number:02d}", None, seed=seed, map_at_r=value)
        for number in range(20)
        for seed, value in enumerate(rng.uniform(size=3))
    ]
    files = files_by_path(made)
    assert len(files["glyphs/small.win-rates.csv"].splitlines()) == 21
    section = files["glyphs/small.md"].partition("## Who wins how often")[2].partition("##")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + MOST_ROWS
    assert f"for the first {MOST_ROWS} rows" in section
