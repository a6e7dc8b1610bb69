"""A run that is killed loses the trials under way, and nothing else."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REQUEST = (
    *("run", "--dataset", "digits-closed", "--loss", "contrastive,triplet,arcface", "--jobs", "2"),
    *("--seeds", "4", "--set", "protocol.length.epochs=2"),
)
TRIALS = 20  # three losses and two floors, four seeds each


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dmlbench", *REQUEST]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def records(folder: Path) -> dict[Path, int]:
    """Return when each record was written; claims beside them come and go meanwhile."""
    paths = (folder / "runs").glob("[!.]*/*/*.json")
    return {path: path.stat().st_mtime_ns for path in paths}


def wait_for_records(count: int, folder: Path, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 120
    while len(records(folder)) < count and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(900)  # it waits for four runs
def test_killed_at_any_moment_it_goes_on_where_it_was(tmp_path):
    chance = random.Random(0)
    kept: dict[Path, int] = {}
    for _ in range(2):
        process = start(tmp_path)
        wait_for_records(len(kept) + chance.randint(1, 4), tmp_path, process)
        time.sleep(chance.random() / 5)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        now = records(tmp_path)
        assert kept.items() <= now.items()  # what was finished is as it was
        kept = now
    assert start(tmp_path).wait(timeout=300) == 0
    final = records(tmp_path)
    assert len(final) == TRIALS
    assert kept.items() <= final.items()

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    assert start(undisturbed).wait(timeout=300) == 0
    for path in final:
        same = undisturbed / path.relative_to(tmp_path)
        assert without_measurements(path) == without_measurements(same)


def without_measurements(path: Path) -> dict[str, object]:
    record = json.loads(path.read_text())
    del record["measurements"]
    return record


@pytest.mark.slow
def test_publishing_twice_gives_the_same_bytes(dmlbench, tiny, tmp_path):
    request = ("run", "--dataset", "digits-closed", "--loss", "triplet", "--protocol", tiny)
    assert dmlbench(*request, "--seeds", 2, "--jobs", 0).code == 0
    first = {p: p.read_bytes() for p in (tmp_path / "leaderboards").rglob("*") if p.is_file()}
    assert dmlbench("publish").code == 0
    assert dmlbench("publish", "--output", "again").code == 0
    assert len(first) >= 5
    for path, content in first.items():
        assert path.read_bytes() == content
        again = tmp_path / "again" / path.relative_to(tmp_path / "leaderboards")
        assert again.read_bytes() == content
