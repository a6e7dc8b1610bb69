"""``dmlbench reproduce`` from a record's file to a verdict."""

import json
import shutil
from pathlib import Path

import pytest

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose
from dmlbench.schemas.record import Record
from dmlbench.storage.record_store import Store, read_record


@pytest.fixture
def path(dmlbench, tiny, tmp_path) -> Path:
    """The record of one trial on digits."""
    request = ("run", "--dataset", "digits-closed", "--loss", "contrastive", "--baseline", "none")
    result = dmlbench(*request, "--protocol", tiny, "--jobs", 0, "--seeds", 1)
    assert result.code == 0, result.err
    (only,) = (tmp_path / "runs").rglob("*.json")
    return only


def changed(path: Path, **fields) -> Path:
    """Write a changed copy of a record, under the id that fits."""
    record = read_record(path).model_copy(update=fields)
    record = Record.model_validate({**record.model_dump(), "id": record.trial.id})
    return Store(path.parents[3] / "other").write(record)


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_record_is_reproduced_to_the_bit_and_nothing_is_written(dmlbench, path, tmp_path):
    shutil.rmtree(tmp_path / "leaderboards")
    (tmp_path / "tiny.toml").unlink()  # the record alone says it all
    before = files(tmp_path)
    result = dmlbench("reproduce", path, "--jobs", 0)
    assert result.code == 0, result.err
    assert result.out.startswith("Reproduced to the bit: digits-closed / contrastive")
    assert files(tmp_path) == before


def test_what_differs_is_shown(dmlbench, path):
    metrics = read_record(path).metrics
    other = changed(path, metrics={**metrics, "map_at_r": metrics["map_at_r"] + 0.25})
    result = dmlbench("reproduce", path, other, "--jobs", 0)
    assert result.code == 1
    assert "Reproduced to the bit: digits-closed" in result.out
    assert "NOT reproduced to the bit, on the same platform" in result.out
    assert "metrics.map_at_r" in result.out
    assert "-0.25" in result.out


def test_on_another_platform_the_tolerance_counts_and_versions_are_shown(dmlbench, path):
    record = read_record(path)
    metrics = {**record.metrics, "map_at_r": record.metrics["map_at_r"] + 0.001}
    versions = {**record.versions, "torch": "1.0", "dmlbench": "0.0"}
    settings = {**record.settings, "torch": "1.0"}
    near = changed(path, metrics=metrics, versions=versions, settings=settings)
    result = dmlbench("reproduce", near, "--jobs", 0)
    assert result.code == 0, result.err
    assert "Reproduced on another platform, test metrics within 0.0010" in result.out
    assert "different platform: torch 1.0 in the record" in result.out
    assert "different versions: dmlbench 0.0 in the record" in result.out


@pytest.mark.slow
def test_worker_processes_reproduce_it_too(dmlbench, path):
    result = dmlbench("reproduce", path)
    assert result.code == 0, result.err
    assert "to the bit" in result.out


def test_what_is_no_record_is_a_wrong_request(dmlbench, path, tmp_path):
    (tmp_path / "empty.json").write_text("{}")
    forged = tmp_path / "forged.json"
    held = json.loads(path.read_text())
    held["trial"]["seed"] = 5
    forged.write_text(json.dumps(held))
    for given, words in (
        (tmp_path / "empty.json", "is not a record"),
        (tmp_path / "none.json", "can't be read"),
        (path.parent, "can't be read"),
        (forged, "does not match its content"),
    ):
        result = dmlbench("reproduce", given)
        assert result.code == 2
        assert words in result.err


def test_another_source_is_a_wrong_request_that_names_the_part(dmlbench, path):
    trial = read_record(path).trial
    loss = trial.parts["loss"].model_copy(update={"source": "0" * 64})
    other = trial.model_copy(update={"parts": {**trial.parts, "loss": loss}})
    result = dmlbench("reproduce", changed(path, trial=type(trial)(**other.model_dump())))
    assert result.code == 2
    assert "the loss 'contrastive' has a different source from the record's" in result.err


def test_missing_data_are_a_wrong_request(dmlbench, path):
    trial = read_record(path).trial
    dataset = trial.dataset.model_copy(update={"reference": "omniglot", "name": "omniglot"})
    found = compose(Catalogue.discover(), "dataset", "omniglot")
    settings = found.resolve("dataset", {})
    dataset = dataset.model_copy(update={"source": found.source(), "settings": settings})
    other = trial.model_copy(update={"dataset": dataset})
    result = dmlbench("reproduce", changed(path, trial=type(trial)(**other.model_dump())))
    assert result.code == 2
    assert "omniglot" in result.err.lower()
