"""A stranger's metric: built as a wheel, in a run's tables, and in tables made without it."""

import csv
import json
import re
from pathlib import Path

import pytest
from third_party import test_wheels as wheels

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
REQUEST = (
    *("run", "--dataset", "digits-closed", "--baseline", "pixels", "--seeds", 1, "--jobs", 0),
    *("--metrics", "mean-rank,mrr"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the metric of the documentation is installed."""
    (source,) = re.findall(
        r"^```python title=\"mean_rank.py\"\n(.*?)^```$",
        PAGE.read_text(),
        re.DOTALL | re.MULTILINE,
    )
    folder = tmp_path_factory.mktemp("metric")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            wheels.PACKAGES, "mean-rank", (source, {"metrics": {"mean-rank": "MeanRank"}})
        )
        wheel = wheels.build_wheel("mean-rank", folder / "source")
    wheels.pip("install", "--no-deps", "--no-index", "--target", folder / "installed", wheel)
    return folder / "installed"


@pytest.mark.slow
def test_it_has_a_column_which_is_made_again_where_it_is_not_installed(site, tmp_path):
    done = wheels.dmlbench(site, tmp_path, *REQUEST)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "runs").rglob("*.json")
    record = json.loads(path.read_text())
    facts = record["metric_facts"]["mean-rank"]
    assert (facts["title"], facts["higher_is_better"]) == ("Mean rank", False)
    assert (facts["distribution"], facts["version"]) == ("mean-rank", "1.2.3")
    assert set(record["metric_facts"]) == {"mean-rank"}, "MRR is dmlbench's own"
    published = tmp_path / "leaderboards" / "digits-closed"
    page = (published / "small.md").read_text()
    assert re.search(r"\| +MRR \| +Mean rank \(lower is better\) \|", page), page
    (row,) = csv.DictReader((published / "small.csv").read_text().splitlines())
    value = record["metrics"]["mean-rank"]
    assert float(row["mean-rank"]) == float(f"{value:.6g}") >= 1
    assert f" {value:.4g} |" in page, "no share, so not in percent"

    elsewhere = tmp_path / "nothing"
    elsewhere.mkdir()
    made = wheels.dmlbench(elsewhere, tmp_path, "publish", "--output", "again")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "again" / "digits-closed" / "small.md").read_text() == page
    taken = wheels.dmlbench(elsewhere, tmp_path, "merge", "runs", "--into", "theirs")
    assert taken.returncode == 0, taken.stderr + taken.stdout
    assert "mean-rank can't be recomputed from the record" in taken.stdout + taken.stderr


@pytest.mark.slow
def test_a_finished_record_that_lacks_it_is_run_again_and_keeps_what_it_had(site, tmp_path):
    before = wheels.dmlbench(site, tmp_path, *REQUEST[:-1], "mrr")
    assert "1 trial to run" in before.stdout
    (path,) = (tmp_path / "runs").rglob("*.json")
    held = json.loads(path.read_text())
    again = wheels.dmlbench(site, tmp_path, *REQUEST[:-1], "mean-rank")
    assert "1 trial to run, 0 finished before" in again.stdout
    record = json.loads(path.read_text())
    assert record["id"] == held["id"]
    assert held["metrics"].items() <= record["metrics"].items()
    assert "mean-rank" in record["metrics"]
    third = wheels.dmlbench(site, tmp_path, *REQUEST)
    assert "0 trials to run, 1 finished before" in third.stdout


def test_it_is_listed_shown_and_checked_and_a_typo_is_answered(site, tmp_path):
    listed = wheels.dmlbench(site, tmp_path, "list").stdout
    assert ["mean-rank", "mean-rank", "1.2.3"] in [line.split() for line in listed.splitlines()]
    checked = wheels.dmlbench(site, tmp_path, "plugin", "check", "metric:mean-rank")
    assert checked.returncode == 0, checked.stdout
    wrong = wheels.dmlbench(site, tmp_path, *REQUEST[:-1], "mean-rang")
    assert wrong.returncode == 2
    assert "There is no metric named 'mean-rang'. Did you mean 'mean-rank'?" in wrong.stderr
    assert not (tmp_path / "runs").exists()
