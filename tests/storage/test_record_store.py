"""Records: the journey to disk and back, and disks that let them down."""

import base64
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dmlbench import ConfigError, DataError
from dmlbench.compute.versions import versions
from dmlbench.schemas import record as record_schema
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Array, Distances, Epoch, Record
from dmlbench.schemas.trial import Part, Trial
from dmlbench.storage.atomic import write_atomically
from dmlbench.storage.record_store import Store, read_record


def make_trial(seed: int = 0, **fields) -> Trial:
    loss = Part(reference="triplet", name="triplet", settings={"margin": 0.2, "sides": (1, 2)})
    usual = {
        "dataset": Part(reference="digits", name="digits"),
        "fingerprint": "0123",
        "protocol": load_protocol("small"),
        "parts": {"loss": loss},
        "seed": seed,
    }
    return Trial(**(usual | fields))


def make_record(seed: int = 0, **fields) -> Record:
    trial = make_trial(seed)
    usual = {
        "id": trial.id,
        "trial": trial,
        "status": "finished",
        "metrics": {"map_at_r": 1 / 3, "recall@1": 0.1 + 0.2},
        "selected_epoch": 1,
        "epochs": [
            Epoch(epoch=0, distances={"test": Distances(positive=0.1, negative=1e-17)}),
            Epoch(epoch=1, loss=0.5, validation={"map_at_r": 0.25}),
        ],
        "per_query": {"hits": Array.pack(np.arange(5, dtype=np.int32))},
        "details": {"reducer": "mean"},
    }
    return Record(**(usual | fields))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# There and back


def test_a_record_comes_back_as_it_was(store):
    record = make_record()
    path = store.write(record)
    again = store.read(record.trial)
    assert again.to_json() == record.to_json()
    assert again.metrics == record.metrics
    assert again.trial.id == record.trial.id
    assert read_record(path).to_json() == record.to_json()


def test_a_record_is_written_to_the_same_bytes_each_time(store):
    path = store.write(make_record())
    before = path.read_bytes()
    store.write(Record.model_validate_json(before))
    assert path.read_bytes() == before


def test_a_record_is_json_that_people_can_read(store):
    held = json.loads(store.write(make_record()).read_text())
    assert held["metrics"]["map_at_r"] == 1 / 3
    assert held["trial"]["parts"]["loss"]["settings"] == {"margin": 0.2, "sides": [1, 2]}


def test_what_is_not_there_is_none(store):
    assert store.read(make_trial()) is None
    assert store.read_all() == ([], [])


def test_each_trial_has_a_file_of_its_own(store):
    trials = [
        make_trial(0),
        make_trial(1),
        make_trial(dataset=Part(reference="a/b", name="a/b")),
        make_trial(dataset=Part(reference="a:b", name="a:b")),
        make_trial(dataset=Part(reference="../../..", name="../../..")),
        make_trial(dataset=Part(reference="数", name="数")),
        make_trial(parts={"baseline": Part(reference="x", name="x" * 500)}),
    ]
    paths = [store.path(trial) for trial in trials]
    assert len(set(paths)) == len(paths)
    for trial, path in zip(trials, paths, strict=True):
        assert path.resolve().is_relative_to(store.folder.resolve())
        assert len(path.relative_to(store.folder).parts) == 3
        store.write(make_record(trial=trial, id=trial.id))
    assert len(store.read_all()[0]) == len(trials)


@given(
    arrays(st.sampled_from([np.int32, np.float32, np.uint8, np.float64, ">i4"]), st.integers(0, 40))
)
def test_arrays_come_back_to_the_bit(values):
    again = Array.model_validate_json(Array.pack(values).model_dump_json()).unpack()
    assert again.tobytes() == values.astype(values.dtype.newbyteorder("<")).tobytes()
    assert np.array_equal(again, values, equal_nan=values.dtype.kind == "f")


@pytest.mark.parametrize(
    "fields",
    [{"data": "!"}, {"data": "AAAA"}, {"dtype": "object"}, {"dtype": "nonsense"}, {"dtype": "<i8"}],
)
def test_a_damaged_array_is_said(fields):
    packed = Array.pack(np.arange(3, dtype=np.int32))
    with pytest.raises(DataError, match="per-query array is damaged"):
        packed.model_copy(update=fields).unpack()


def test_an_array_cut_off_or_larger_than_any_is_said_before_it_fills_the_memory(monkeypatch):
    values = np.zeros(3000, dtype=np.int32)
    packed = Array.pack(values)
    whole = base64.b64decode(packed.data)
    for length in (8, len(whole) - 1):
        cut = packed.model_copy(update={"data": base64.b64encode(whole[:length]).decode()})
        with pytest.raises(DataError, match="it is cut off"):
            cut.unpack()
    monkeypatch.setattr(record_schema, "_MOST_BYTES", values.nbytes)
    assert np.array_equal(packed.unpack(), values)
    monkeypatch.setattr(record_schema, "_MOST_BYTES", values.nbytes - 1)
    with pytest.raises(DataError, match="it holds more than"):
        packed.unpack()


def test_versions_name_what_may_change_a_figure():
    found = versions({"dmlbench": "0.1.0", "elsewhere": "2.0", "": ""})
    assert {"python", "torch", "numpy", "scipy", "scikit-learn", "pillow", "elsewhere"} <= set(
        found
    )
    assert "" not in found
    import torch

    assert torch.__version__.startswith(found["torch"])


# Damage


def damage(path: Path, **fields) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 10_000, b"{}"])
def test_a_file_that_is_no_record_is_reported(store, content):
    path = store.write(make_record())
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a record") as reported:
        store.read(make_trial())
    assert str(path) in str(reported.value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"schema_version": 2}, "schema 2"),
        ({"schema_version": "one"}, "schema_version"),
        ({"status": "done"}, "status"),
        ({"more": 1}, "more"),
        ({"metrics": {"map_at_r": "high"}}, "map_at_r"),
        ({"metrics": {"map_at_r": float("nan")}}, "map_at_r"),
        ({"metrics": {"map_at_r": 1e308}}, "map_at_r"),  # its square is no number
        ({"last_epoch_metrics": {"map_at_r": -1e308}}, "map_at_r"),
        ({"id": "0123456789abcdef"}, "its id 0123456789abcdef does not match"),
    ],
)
def test_a_changed_record_is_reported(store, fields, reason):
    damage(store.write(make_record()), **fields)
    with pytest.raises(DataError, match=reason):
        store.read(make_trial())


def test_a_changed_trial_no_longer_fits_its_id(store):
    path = store.write(make_record())
    for margin in ("0.3", "NaN"):
        path.write_text(path.read_text().replace('"margin": 0.2', f'"margin": {margin}'))
        with pytest.raises(DataError):
            read_record(path)
        path.write_text(path.read_text().replace(f'"margin": {margin}', '"margin": 0.2'))
    assert read_record(path).id == make_trial().id


def test_a_folder_that_can_not_be_entered_is_told(store, monkeypatch):
    kept = make_record()
    store.write(kept)
    closed = store.folder / "closed"
    closed.mkdir()
    scandir = os.scandir

    def guarded(path):
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    readable, damaged = store.read_all()
    assert [record.id for record in readable] == [kept.id]
    assert [str(error) for error in damaged] == [f"{closed} can't be read: Permission denied."]


def test_one_damaged_file_hides_no_other(store):
    records = [make_record(seed) for seed in range(3)]
    paths = [store.write(record) for record in records]
    paths[1].write_text("{")
    (paths[0].parent / ".left.tmp").write_text("half")
    readable, damaged = store.read_all()
    assert [record.trial.seed for record in readable] == [0, 2]
    assert len(damaged) == 1
    assert str(paths[1]) in str(damaged[0])


def test_a_folder_in_the_place_of_a_record_is_reported(store):
    (store.folder / "some.json").mkdir(parents=True)
    readable, damaged = store.read_all()
    assert readable == []
    assert "it is a folder" in str(damaged[0])


def test_a_pipe_in_the_place_of_a_record_is_reported_before_anybody_waits_for_it(store):
    path = store.write(make_record())
    os.mkfifo(path.with_name("pipe.json"))
    readable, damaged = store.read_all()
    assert [record.id for record in readable] == [make_trial().id]
    assert [str(error) for error in damaged] == [
        f"{path.with_name('pipe.json')} can't be read: it is a named pipe, not a regular file."
    ]


# Disks


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert files_below(tmp_path) == [path]


def test_a_write_that_is_interrupted_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file.txt", "new")
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_others_may_do_with_a_record_what_umask_says(store, umask, mode):
    before = os.umask(umask)
    try:
        path = store.write(make_record())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode
    for folder in (path.parent, path.parent.parent, store.folder):
        assert folder.stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_full_disk_fails_one_record_and_harms_no_other(store, monkeypatch):
    first = store.keep(make_record(0))
    assert first.status == "finished"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        second = store.keep(make_record(1))
    assert second.status == "failed"
    assert "No space left on device" in second.reason
    assert str(store.folder) in second.reason
    third = store.keep(make_record(2))
    assert third.status == "finished"
    readable, damaged = store.read_all()
    assert [record.trial.seed for record in readable] == [0, 2]
    assert damaged == []


def test_a_folder_that_can_not_be_written_is_refused_before_a_run(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(ConfigError, match=r"Can't write to .* --output"):
            Store(folder).check_writable()
    Store(tmp_path / "new" / "runs").check_writable()
    assert list((tmp_path / "new" / "runs").iterdir()) == []


def test_a_folder_in_the_way_fails_the_record(store):
    store.folder.mkdir()
    (store.folder / "digits").write_text("in the way")
    assert store.keep(make_record()).status == "failed"


def test_a_failed_record_does_not_take_the_place_of_a_finished_one(store):
    finished, failed = make_record(), make_record(status="failed", reason="no memory")
    for record in (failed, finished, failed):
        assert store.keep(record) is record
    assert store.read(finished.trial).to_json() == finished.to_json()
    store.path(finished.trial).write_text("damaged")
    store.keep(failed)
    assert store.read(finished.trial).status == "failed"
