"""``dmlbench merge`` as a user sees it."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def theirs(dmlbench, tiny, tmp_path) -> Path:
    """The records of one baseline with two seeds, in a folder of somebody else."""
    request = ("run", "--dataset", "digits-closed", "--baseline", "pixels", "--protocol", tiny)
    assert dmlbench(*request, "--jobs", 0, "--seeds", 2, "--output", "theirs").code == 0
    return tmp_path / "theirs" / "runs"


def test_records_are_taken_once(dmlbench, theirs, tmp_path):
    dry = dmlbench("merge", theirs, "--dry-run")
    assert dry.code == 0, dry.err
    assert "2 records would be imported, 0 already there, 0 refused." in dry.out
    assert not (tmp_path / "runs").exists()
    result = dmlbench("merge", theirs)
    assert result.code == 0, result.err
    assert "2 records imported, 0 already there, 0 refused." in result.out
    assert "dmlbench publish --runs runs" in result.out
    names = [{path.name for path in folder.rglob("*.json")} for folder in (theirs, Path("runs"))]
    assert names[0] == names[1]
    assert "0 records imported, 2 already there" in dmlbench("merge", theirs, "--into", "runs").out
    assert dmlbench("publish").code == 0


def test_all_that_is_refused_is_listed_and_the_rest_taken(dmlbench, theirs, tmp_path):
    path = sorted(theirs.rglob("*.json"))[0]
    record = json.loads(path.read_text())
    record["metrics"]["map_at_r"] = 0.999
    path.write_text(json.dumps(record))
    (theirs / "torn.json").write_text("{")
    result = dmlbench("merge", theirs)
    assert result.code == 1
    assert "1 record imported, 0 already there, 2 refused." in result.out
    assert f"refused: {path}: its" in result.err
    assert "refused: " in result.err
    assert "torn.json: is not a record" in result.err
    assert len(list((tmp_path / "runs").rglob("*.json"))) == 1


def test_nothing_to_take_is_a_wrong_request(dmlbench, tmp_path):
    (tmp_path / "empty").mkdir()
    assert dmlbench("merge", "empty").code == 2
    assert dmlbench("merge", "nowhere").code == 2
