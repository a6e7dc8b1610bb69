"""Folders that go, directories that change, disks that fill: odd surroundings of a run."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dmlbench
from dmlbench.schemas.record import Record

ZOO = Path(__file__).parents[1] / "support" / "zoo.py"

WANDERING = """
import os, shutil
from support.zoo import Pull

class Wandering(Pull):
    def forward(self, pairs, selection):
        os.makedirs("elsewhere", exist_ok=True)
        os.chdir("elsewhere")
        return super().forward(pairs, selection)

class Deleting(Pull):
    def __init__(self):
        super().__init__()
        shutil.rmtree("out/runs", ignore_errors=True)
"""


@pytest.fixture
def losses(tmp_path) -> Path:
    path = tmp_path / "odd_losses.py"
    path.write_text(WANDERING)
    return path


def request_of(loss: str, tiny: Path, *more: object) -> tuple[object, ...]:
    return (
        *("run", "--dataset", f"{ZOO}:Patterns", "--loss", loss, "--baseline", "none"),
        *("--protocol", tiny, "--set", "protocol.batch_size=8", "--jobs", 0, "--output", "out"),
        *more,
    )


def bare(folder: Path) -> dict[str, dict[str, object]]:
    """Return the records in a folder by name, without measurements."""
    found = {}
    for path in folder.rglob("*.json"):
        found[path.name] = json.loads(path.read_text()) | {"measurements": {}}
    return found


def test_a_plugin_that_changes_the_directory_sends_no_record_elsewhere(
    dmlbench, losses, tiny, tmp_path
):
    result = dmlbench(*request_of(f"{losses}:Wandering", tiny, "--seeds", 2))
    assert os.getcwd() == str(tmp_path)  # it is put back
    assert "Left its process changed" in result.err
    assert result.code == 0
    assert "Leaderboards: out/leaderboards/" in result.out  # as seen from where the user is
    assert len(bare(tmp_path / "out" / "runs")) == 2
    assert not list((tmp_path / "elsewhere").rglob("*.json"))
    assert (tmp_path / "out" / "leaderboards" / "README.md").exists()


def test_records_that_are_removed_during_a_run_are_missed(dmlbench, losses, tiny, tmp_path):
    result = dmlbench(*request_of(f"{losses}:Deleting", tiny, "--seeds", 3))
    assert result.code == 1
    assert len(bare(tmp_path / "out" / "runs")) == 1
    assert "2 of 3 records were removed from" in result.err


@pytest.mark.slow
def test_python_says_so_too(losses, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="1 of 2 records was removed"):
        records = dmlbench.run(
            f"{ZOO}:Patterns",
            losses=f"{losses}:Deleting",
            baselines="none",
            protocol=tiny,
            settings={"protocol.batch_size": 8},
            seeds=2,
            output="out",
            jobs=0,
            progress=False,
        )
    assert len(records) == 2


def test_clocks_that_jump_change_no_record(dmlbench, tiny, tmp_path, monkeypatch):
    request = request_of(f"{ZOO}:Pull", tiny, "--seeds", 2)
    assert dmlbench(*request).code == 0
    expected = bare(tmp_path / "out" / "runs")
    shutil.rmtree(tmp_path / "out")
    clock, jumps = time.time, iter([1e8, -1e8] * 100_000)
    monkeypatch.setattr(time, "time", lambda: clock() + next(jumps))
    assert dmlbench(*request).code == 0
    assert bare(tmp_path / "out" / "runs") == expected


@pytest.mark.slow
def test_odd_surroundings_change_no_record(dmlbench, tiny, tmp_path):
    request = request_of(f"{ZOO}:Pull", tiny)
    assert dmlbench(*request).code == 0
    place = tmp_path / "Größe 雪 \U0001f600 'x'" / ("long" * 50) / ("path" * 50)
    place.mkdir(parents=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "LC_ALL", "TERM")}
    finished = subprocess.run(
        [sys.executable, "-O", "-m", "dmlbench", *map(str, request)],
        cwd=place,
        env=environment | {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert bare(place / "out" / "runs") == bare(tmp_path / "out" / "runs")
    assert b"Traceback" not in finished.stderr


def test_an_output_that_can_not_be_written_is_said_before_anything_runs(dmlbench, tiny, tmp_path):
    (tmp_path / "out").write_text("a file")
    result = dmlbench(*request_of(f"{ZOO}:Pull", tiny))
    assert result.code == 2
    assert "Can't write to" in result.err
    assert "--output" in result.err
    deep = "/".join(["x" * 200] * 30)  # longer than any path may be
    result = dmlbench(*request_of(f"{ZOO}:Pull", tiny), "--output", deep)
    assert result.code == 2
    assert "too long" in result.err


def test_a_file_that_may_not_grow_fails_its_record_and_leaves_nothing(
    dmlbench, tiny, tmp_path, monkeypatch
):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    write = Record.to_json

    def write_little(record: Record) -> str:
        """Write the record of seed 1 where files are at most 1 kB, as a quota would have it."""
        limit = 1000 if record.trial.seed == 1 else soft
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        return write(record)

    monkeypatch.setattr(Record, "to_json", write_little)
    try:
        result = dmlbench(*request_of(f"{ZOO}:Pull", tiny, "--seeds", 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.code == 1
    assert "File too large" in result.err
    whole = bare(tmp_path / "out" / "runs")
    assert sorted(record["trial"]["seed"] for record in whole.values()) == [0, 2]
    assert not list((tmp_path / "out").rglob(".*"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 40 KiB."""
    folder = tmp_path / "out" / "runs"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_loses_no_record_that_was_written(dmlbench, tiny, small_disk):
    result = dmlbench(*request_of(f"{ZOO}:Pull", tiny, "--seeds", 12))
    assert result.code == 1
    assert "No space left on device" in result.err
    records = bare(small_disk).values()  # all of them whole
    finished = [record for record in records if record["status"] == "finished"]
    assert 1 <= len(finished) < 12
    assert all("No space left" in record["reason"] for record in records if record not in finished)
    assert all(path.suffix == ".json" for path in small_disk.rglob("*") if path.is_file())


def test_a_disk_too_small_for_a_checkpoint_costs_no_trial(dmlbench, tiny, small_disk):
    often = ("--checkpoint-minutes", 1e-9)
    result = dmlbench(*request_of(f"{ZOO}:Pull", tiny, "--seeds", 2, *often))
    assert result.code == 0, result.err
    assert ".checkpoint can't be written: No space left on device. The trial goes on." in result.err
    assert [record["status"] for record in bare(small_disk).values()] == ["finished"] * 2
    assert all(path.suffix == ".json" for path in small_disk.rglob("*") if path.is_file())
