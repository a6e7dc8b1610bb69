"""The same request gives the same records from Python, from the command line and in a notebook."""

import csv
import json
import sys
from pathlib import Path

import nbformat
import pytest
from api.conftest import REQUEST
from nbclient import NotebookClient

import dmlbench
from dmlbench.cli.main import main


def contents(folder: Path) -> dict[str, dict]:
    """Return all that the records in a folder hold, but measurements, by path."""
    read = {str(path.relative_to(folder)): json.loads(path.read_text()) for path in files(folder)}
    return {path: {**record, "measurements": None} for path, record in read.items()}


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


def test_a_grid_leaves_the_records_that_it_returns(grid):
    records, folder = grid
    assert {record.id for record in records} == {
        json.loads(path.read_text())["id"] for path in files(folder / "runs")
    }
    assert [(record.trial.label, record.trial.seed, record.status) for record in records] == [
        (label, seed, "finished")
        for label in ("contrastive + all-pairs", "pixels", "untrained")
        for seed in (0, 1)
    ]


def test_the_same_request_runs_nothing_again(grid, capsys):
    records, folder = grid
    before = {path: path.stat().st_mtime_ns for path in files(folder)}
    assert list(dmlbench.run(**REQUEST, jobs=0, output=folder, progress=False)) == list(records)
    assert before == {path: path.stat().st_mtime_ns for path in files(folder)}
    assert capsys.readouterr() == ("", "")


def test_the_command_makes_the_same_records(grid, tmp_path, monkeypatch):
    _, folder = grid
    options = [f"--set={name}={value}" for name, value in REQUEST["settings"].items()]
    words = ["run", "--dataset", "digits-closed", "--loss", "contrastive", "--seeds", "2", *options]
    monkeypatch.setattr(sys, "argv", ["dmlbench", *words, "--jobs", "0", "--output", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert contents(tmp_path / "runs") == contents(folder / "runs")


def test_a_notebook_runs_a_grid_and_shows_its_table(tmp_path):
    cells = [
        "import warnings\nwarnings.simplefilter('error')\n"
        "from dmlbench import load_records, publish, run, tables",
        f"records = run(**{REQUEST!r}, jobs=0, output='out')",
        "publish(load_records('out/runs'), 'out/leaderboards')\n"
        "(table,) = tables(records)\nprint(table.to_frame()['map_at_r'].tolist())",
        "records.trials()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    _, progress, table, trials = (cell.outputs for cell in notebook.cells)
    assert "6 of 6 trials" in str(progress)
    (page,) = (tmp_path / "out" / "leaderboards").rglob("small*[0-9].csv")
    with open(page, newline="") as file:
        published = [float(line["map_at_r"]) for line in csv.DictReader(file)]
    assert json.loads(table[0].text) == published
    assert "<table" in trials[0].data["text/html"]


def test_a_plan_is_what_a_run_would_run(grid):
    records, _ = grid
    assert [trial.id for trial in dmlbench.plan(**REQUEST).trials] == [one.id for one in records]


def test_a_suite_is_changed_by_what_is_asked_for_besides():
    suite = dmlbench.Suite(datasets=("digits",), losses=("triplet",), baselines=(), seeds=(4,))
    (trial,) = dmlbench.plan(suite=suite).trials
    assert (trial.label, trial.seed) == ("triplet + semi-hard", 4)
    changed = dmlbench.plan("iris", suite=suite, miners=None, seeds=[7, 8]).trials
    assert [(trial.dataset.name, trial.seed) for trial in changed] == [("iris", 7), ("iris", 8)]


def test_without_other_words_the_floors_are_baselines_and_none_are_on_demand():
    def rows(**request):
        return [trial.label for trial in dmlbench.plan("iris", seeds=1, **request).trials]

    assert len(rows(losses="triplet")) > 1
    for none in ("none", []):
        assert rows(losses="triplet", baselines=none) == ["triplet + semi-hard"]
    assert rows(baselines=["pixels", "pca"]) == ["pixels", "pca"]
    assert "lda" in rows(baselines="all")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "nothing to run"),
        ({"datasets": ["iris", "glyphs"]}, "iris and glyphs.*--loss.*--all"),
        ({"losses": "triplt"}, "'triplet'"),
        ({"miners": "random"}, "needs a loss"),
        ({"losses": "triplet", "settings": {"loss.margn": 1}}, "'margin'"),
        ({"losses": "triplet", "settings": {"margin": 1}}, "loss.margin"),
        ({"losses": "triplet", "settings": {"loss.margin": {1}}}, "can't be kept"),
        ({"losses": "triplet", "protocol": "smal"}, "'small'"),
        ({"losses": "triplet", "seeds": 0}, "0 seeds"),
        ({"losses": "triplet", "seeds": 10**9}, "more than 10,000"),
        ({"losses": "triplet", "seeds": [-1]}, "seeds"),
        ({"losses": "triplet", "device": "cuda:99"}, "cuda:99"),
        ({"losses": "triplet", "jobs": -1}, "jobs"),
        ({"losses": "triplet", "data_dir": "nowhere"}, "nowhere"),
        ({"suite": "missing.toml"}, "missing.toml"),
        ({"datasets": [], "losses": "triplet"}, "datasets"),
    ],
    ids=str,
)
def test_a_wrong_request_is_an_error_before_anything_runs(request_, words, tmp_path):
    with pytest.raises(dmlbench.DmlbenchError, match=words):
        dmlbench.run(
            **({"datasets": "iris"} if "losses" in request_ else {}) | request_, output=tmp_path
        )
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(dmlbench.ConfigError, match="runs"):
        dmlbench.run("iris", baselines="pixels", seeds=1, jobs=0, output=tmp_path, progress=False)
