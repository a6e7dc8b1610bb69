"""``dmlbench diff`` as a user sees it."""

import json
from pathlib import Path

import pytest

from dmlbench.storage.record_store import Store, read_record


@pytest.fixture
def runs(dmlbench, tiny, tmp_path) -> Path:
    """The records of one baseline with two seeds."""
    request = ("run", "--dataset", "digits-closed", "--baseline", "pixels", "--protocol", tiny)
    assert dmlbench(*request, "--jobs", 0, "--seeds", 2).code == 0
    return tmp_path / "runs"


@pytest.fixture
def others(runs, tmp_path) -> Path:
    """Records of the same trials by another torch, with other figures."""
    store = Store(tmp_path / "others")
    for record in Store(runs).read_all()[0]:
        metrics = {**record.metrics, "map_at_r": record.metrics["map_at_r"] - 0.125}
        versions = {**record.versions, "torch": "1.0"}
        store.write(record.model_copy(update={"metrics": metrics, "versions": versions}))
    return store.folder


def test_a_folder_beside_itself_is_equal_to_the_bit(dmlbench, runs):
    result = dmlbench("diff", runs, runs)
    assert result.code == 0, result.err
    assert "digits-closed · tiny · MAP@R in percent" in result.out
    assert "equal to the bit" in result.out
    assert "No row could be tested" in result.out


def test_differences_are_shown_with_their_interval_and_versions(dmlbench, runs, others):
    out = dmlbench("diff", runs, others).out
    assert "-12.50 ± 0.00" in out
    assert "under 5 common seeds" in out
    assert "different versions: torch" in out
    assert "-> 1.0" in out


def test_two_files_can_be_compared_and_the_rows_of_one_side_are_listed(dmlbench, runs, tiny):
    request = ("run", "--dataset", "digits-closed", "--baseline", "pca", "--protocol", tiny)
    assert dmlbench(*request, "--jobs", 0, "--seeds", 1, "--output", "more").code == 0
    (pca,) = Path("more/runs").rglob("*.json")
    pixels = sorted(runs.rglob("*.json"))[0]
    out = dmlbench("diff", pixels, pca).out
    assert "only in A: pixels" in out
    assert "only in B: pca" in out


def test_json_has_every_figure(dmlbench, runs, others):
    held = json.loads(dmlbench("diff", runs, others, "--json").out)
    (row,) = held["rows"]
    assert row["row"] == "pixels"
    assert row["verdict"] == "under 5 common seeds"
    assert row["difference"] == pytest.approx(-0.125)
    assert row["seeds"] == [0, 1]
    assert held["versions"]["torch"][1] == "1.0"


def test_a_damaged_record_is_said_and_the_rest_compared(dmlbench, runs, others):
    path = sorted(others.rglob("*.json"))[0]
    path.write_text("{")
    result = dmlbench("diff", runs, others)
    assert result.code == 1
    assert path.name in result.err
    assert "pixels" in result.out


def test_nothing_to_compare_is_a_wrong_request(dmlbench, runs, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.json").write_text("{}")
    for wrong, words in (
        ("empty", "There are no records in empty"),
        ("nowhere", "does not exist"),
        ("no.json", "is not a record"),
    ):
        result = dmlbench("diff", runs, wrong)
        assert result.code == 2
        assert words in result.err


def test_hostile_names_are_only_text(dmlbench, runs, tmp_path):
    record = read_record(sorted(runs.rglob("*.json"))[0])
    part = record.trial.parts["baseline"].model_copy(update={"name": "[red]\x1b[31m<b>\n=1"})
    trial = type(record.trial)(
        **{**record.trial.model_dump(), "parts": {"baseline": part.model_dump()}}
    )
    Store(tmp_path / "evil").write(record.model_copy(update={"trial": trial, "id": trial.id}))
    out = dmlbench("diff", runs, "evil").out
    assert "only in B: [red] [31m<b> =1" in out
    assert "\x1b" not in out
