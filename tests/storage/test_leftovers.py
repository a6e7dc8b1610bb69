"""Unfinished files: those of the living stay, those of the dead go."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dmlbench.storage import leftovers as leftovers_module
from dmlbench.storage.leftovers import leftovers, remove_leftovers
from dmlbench.storage.owners import Owner
from dmlbench.storage.record_store import Store

OURS = Owner.new()
GONE = replace(OURS, started=1)  # a process of our number, before us
ELSEWHERE = replace(OURS, machine="00000000")


def put(folder: Path, name: str, seconds_ago: float = 0.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("half")
    now = leftovers_module.server_time(folder)
    os.utime(path, (now - seconds_ago, now - seconds_ago))
    return path


@pytest.mark.parametrize(
    ("name", "hours", "goes"),
    [
        (f".{OURS}.tmp", 9, False),
        (f".{GONE}.tmp", 0, True),
        (f".{ELSEWHERE}.tmp", 0, False),
        (f".{ELSEWHERE}.tmp", 2, True),
        (".a1b2c3d4.tmp", 0, False),  # as dmlbench 0.1 called them
        (".a1b2c3d4.tmp", 2, True),
        ("notes.tmp", 9, False),
        (".notes", 9, False),
    ],
    ids=["alive", "dead", "elsewhere", "elsewhere for hours", "old", "old for hours", "no", "none"],
)
def test_what_a_dead_process_left_is_removed(tmp_path, name, hours, goes):
    path = put(tmp_path / "digits" / "small", name, 3600 * hours)
    assert leftovers(tmp_path) == ([path] if goes else [])
    remove_leftovers(tmp_path)
    assert path.exists() is not goes


def test_a_run_removes_what_an_earlier_one_left_in_its_folder(tmp_path):
    path = put(tmp_path / "digits" / "small", f".{GONE}.tmp")
    Store(tmp_path).check_writable()
    assert not path.exists()


def test_our_clock_decides_nothing(tmp_path, monkeypatch):
    path = put(tmp_path, f".{ELSEWHERE}.tmp", 60)
    monkeypatch.setattr("time.time", lambda: 9e9)
    assert leftovers(tmp_path) == []
    monkeypatch.setattr(leftovers_module, "server_time", lambda folder: path.stat().st_mtime + 4000)
    assert leftovers(tmp_path) == [path]


def test_links_and_deep_folders_are_not_followed(tmp_path):
    elsewhere = put(tmp_path / "elsewhere", f".{GONE}.tmp")
    runs = tmp_path / "runs"
    put(runs / "a" / "b" / "c" / "d", f".{GONE}.tmp")
    (runs / "link").symlink_to(elsewhere.parent)
    assert leftovers(runs) == []
    assert leftovers(tmp_path / "missing") == []
