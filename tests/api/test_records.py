"""Records from Python: a sequence, and three frames that hold what their files hold."""

import base64
import json
import zlib

import numpy as np
import pandas as pd
import pytest

import dmlbench
from dmlbench.schemas.record import Epoch


@pytest.fixture
def stored(grid):
    """The records as JSON has them, in the order in which a folder is read."""
    _, folder = grid
    return [json.loads(path.read_text()) for path in sorted((folder / "runs").rglob("*.json"))]


@pytest.fixture
def records(grid):
    _, folder = grid
    return dmlbench.load_records(folder / "runs")


def test_a_row_for_each_trial(records, stored):
    frame = records.trials()
    assert list(frame.trial_id) == [one["id"] for one in stored]
    for row, one in zip(frame.to_dict("records"), stored, strict=True):
        assert {name: row[name] for name in one["metrics"]} == one["metrics"]
        last = {name: row[f"last_epoch_{name}"] for name in one["last_epoch_metrics"]}
        assert last == one["last_epoch_metrics"]
        assert (row["seed"], row["status"]) == (one["trial"]["seed"], "finished")
        assert row["seconds"] == one["measurements"]["cpu_seconds"]
        loss = one["trial"]["parts"].get("loss")
        assert row["loss"] == loss["name"] if loss else pd.isna(row["loss"])


def test_a_row_for_each_epoch(records, stored):
    frame = records.epochs()
    assert len(frame) == sum(len(one["epochs"]) for one in stored)
    trained = next(one for one in stored if "loss" in one["trial"]["parts"])
    rows = frame[frame.trial_id == trained["id"]]
    assert list(rows.epoch) == [0, 1]
    assert np.isnan(rows.loss.iloc[0])
    assert rows.loss.iloc[1] == trained["epochs"][1]["loss"]
    assert list(rows.test_negative) == [
        epoch["distances"]["test"]["negative"] for epoch in trained["epochs"]
    ]
    assert list(rows.epoch[rows.selected]) == [trained["selected_epoch"]]


def test_epochs_of_a_network_trained_anew_are_told_apart(records):
    trained = next(one for one in records if "loss" in one.trial.parts)
    first, second = trained.epochs
    unmeasured = Epoch(epoch=1, loss=0.25)
    again = [first.model_copy(update={"retraining": True}), second]
    again[1] = second.model_copy(update={"retraining": True})
    both = trained.model_copy(
        update={"epochs": [first, unmeasured], "retraining": again, "selected_epoch": 1}
    )
    frame = dmlbench.Records([both]).epochs()
    assert list(frame.epoch) == [0, 1, 0, 1]
    assert list(frame.retraining) == [False, False, True, True]
    assert list(frame.selected) == [False, False, False, True]
    assert frame.test_negative.isna().tolist() == [False, True, False, False]
    assert frame.loss.iloc[1] == 0.25


def test_a_row_for_each_query(records, stored):
    frame = records.queries()
    assert len(frame) == sum(one["details"]["test_items"] for one in stored)
    for one in stored:
        rows = frame[frame.trial_id == one["id"]]
        assert list(rows["query"]) == list(range(one["details"]["test_items"]))
        assert rows.average_precision.mean() == pytest.approx(one["metrics"]["map_at_r"], abs=1e-6)
        for name, array in one["per_query"].items():
            raw = zlib.decompress(base64.b64decode(array["data"]))
            assert (rows[name].to_numpy() == np.frombuffer(raw, array["dtype"])).all()


def test_frames_without_records_have_their_columns():
    none = dmlbench.Records()
    for frame in (none.trials(), none.epochs(), none.queries()):
        assert frame.empty
        assert "trial_id" in frame


def test_a_slice_is_records_too_and_a_file_is_one_record(records, grid):
    _, folder = grid
    assert isinstance(records[1:3], dmlbench.Records)
    assert list(records[1:3]) == [records[1], records[2]]
    path = sorted((folder / "runs").rglob("*.json"))[0]
    assert list(dmlbench.load_records(path)) == [records[0]]


def test_damaged_files_are_left_out_and_named(grid, tmp_path):
    _, folder = grid
    path = sorted((folder / "runs").rglob("*.json"))[0]
    (tmp_path / "whole.json").write_bytes(path.read_bytes())
    (tmp_path / "broken.json").write_text("{")
    found = dmlbench.load_records(tmp_path)
    assert len(found) == 1
    assert "broken.json" in str(found.damaged)
    assert "1 damaged" in repr(found)
    (tmp_path / "whole.json").unlink()
    with pytest.raises(dmlbench.DataError, match=r"broken\.json"):
        dmlbench.load_records(tmp_path)


def test_a_folder_without_records_is_an_error(tmp_path):
    with pytest.raises(dmlbench.DataError, match="no records"):
        dmlbench.load_records(tmp_path)
