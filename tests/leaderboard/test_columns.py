"""A column is one field in one file, and every view of a table has it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dmlbench
from dmlbench.storage.record_store import Store

FIELD = """    first_seed: Annotated[
        int, Column(lambda table, row: 100 + row.trial.seed, details="First seed")
    ]
"""
ABOVE = "    hyperparameters: Annotated["


def test_a_field_added_to_one_file_is_a_column_of_every_view(record, tmp_path):
    for seed in (7, 8):
        Store(tmp_path / "runs").write(record(seed=seed))
    package = shutil.copytree(Path(dmlbench.__file__).parent, tmp_path / "changed" / "dmlbench")
    file = package / "leaderboard" / "row_document.py"
    before, found, after = file.read_text().partition(ABOVE)
    assert found
    file.write_text(before + FIELD + found + after)
    # Coverage would count the copied package as code that no test runs.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    subprocess.run(
        [sys.executable, "-m", "dmlbench", "publish", "--html", "site"],
        check=True,
        cwd=tmp_path,
        env=unmeasured | {"PYTHONPATH": str(tmp_path / "changed")},
    )

    published = tmp_path / "leaderboards" / "glyphs"
    (line,) = csv.DictReader((published / "small.csv").read_text().splitlines())
    assert line["first_seed"] == "107"
    assert list(line).index("first_seed") == list(line).index("backbone") + 1
    (row,) = json.loads((published / "small.json").read_text())["rows"]
    assert row["first_seed"] == 107
    assert list(row).index("first_seed") == list(row).index("hyperparameters") - 1
    assert _column((published / "small.md").read_text(), "First seed") == ["107"]
    (page,) = (tmp_path / "site" / "tables").glob("*.html")
    assert ">First seed</th>" in page.read_text()
    assert 'data-number="107.0">107</td>' in page.read_text()


def _column(page: str, heading: str) -> list[str]:
    """Return the cells under `heading` in the markdown table that has it."""
    lines = [[cell.strip() for cell in line.split("|")] for line in page.splitlines()]
    start = next(place for place, cells in enumerate(lines) if heading in cells)
    rows = lines[start + 2 : lines.index([""], start)]
    return [cells[lines[start].index(heading)] for cells in rows]
