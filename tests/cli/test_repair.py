"""``doctor`` and ``doctor --repair`` on an output folder, and ``data clean`` on a cache."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.made_records import record

from dmlbench.leaderboard.publish import publish
from dmlbench.storage.claims import Claims
from dmlbench.storage.leftovers import server_time
from dmlbench.storage.owners import Owner
from dmlbench.storage.record_store import Store

GONE = replace(Owner.new(), started=1)


@pytest.fixture
def out(tmp_path) -> Path:
    """An output folder with a record and its table."""
    folder = tmp_path / "out"
    made = record(seed=0)
    Store(folder / "runs").write(made)
    publish([made], folder / "leaderboards")
    return folder


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def shown(result) -> list[str]:
    return result.out.partition("Output in ")[2].splitlines()[1:]


def test_a_folder_in_good_order_is_said_to_be(dmlbench, out):
    before = contents(out)
    result = dmlbench("doctor", "--output", out)
    assert result.code == 0
    assert shown(result) == ["  nothing is damaged or left over"]
    dmlbench("doctor", "--repair", "--output", out)
    assert contents(out) == before


def test_doctor_lists_what_it_would_repair_and_repairs_that(dmlbench, out):
    before = contents(out)
    store = Store(out / "runs")
    (path,) = store.folder.glob("*/*/*.json")
    damaged, newer, done = (record(seed=seed) for seed in (1, 2, 3))
    store.write(damaged).write_text("{")
    fields = json.loads(store.write(newer).read_text()) | {"schema_version": 2}
    store.path(newer.trial).write_text(json.dumps(fields))
    store.write(done)
    store.path(done.trial).with_suffix(".checkpoint").write_bytes(b"of a finished trial")
    to_do = store.path(record(seed=4).trial).with_suffix(".checkpoint")
    to_do.write_bytes(b"of one to go on with")
    store.path(record(seed=5).trial).with_suffix(".safetensors").write_bytes(b"no record")
    (path.parent / "notes.txt").write_text("mine")
    for folder in (path.parent, out / "leaderboards"):
        (folder / f".{GONE}.tmp").write_text("half")
    claims = Claims(store.folder)
    (claims.folder / "dead").mkdir(parents=True)
    (claims.folder / "dead" / str(GONE)).touch()
    silent = claims.folder / "silent" / str(replace(GONE, machine="00000000"))
    silent.parent.mkdir()
    silent.touch()
    long_ago = server_time(out) - 3600
    os.utime(silent, (long_ago, long_ago))
    with claims.take("alive"):
        found = dmlbench("doctor", "--output", out)
        assert found.code == 1
        *lines, last = shown(found)
        assert last.endswith(f"dmlbench doctor --repair --output {out}")
        assert len(lines) == 8
        listed = contents(out)
        repaired = dmlbench("doctor", "--repair", "--output", out)
        assert repaired.code == 0
        done_lines = shown(repaired)
        assert [line.rpartition("; ")[0] for line in done_lines] == lines
        assert claims.is_held("alive")
    removed = [line for line in done_lines if line.endswith("; removed")]
    assert len(removed) == 5
    moved = {name for name in contents(out) if name.startswith("quarantine/")}
    assert {Path(name).suffix for name in moved} == {".json", ".txt", ".safetensors"}
    assert {name.removeprefix("quarantine/") for name in moved} < listed
    assert before < contents(out)  # what was in order is where it was
    for kept in (store.path(newer.trial), store.path(done.trial), to_do):
        assert kept.exists()
    assert shown(dmlbench("doctor", "--output", out)) == ["  nothing is damaged or left over"]


def test_what_was_put_aside_before_is_kept(dmlbench, out):
    for text in ("first", "second"):
        (out / "runs" / "notes.txt").write_text(text)
        assert dmlbench("doctor", "--repair", "--output", out).code == 0
    kept = sorted((out / "quarantine" / "runs").iterdir())
    assert [path.read_text() for path in kept] == ["first", "second"]


@pytest.fixture
def cache(tmp_path) -> Path:
    """A cache with a store of photos and, read long ago, features."""
    folder = tmp_path / "cache"
    for kind, name in (("photos", "a.store"), ("features", "b.npy")):
        (folder / kind).mkdir(parents=True)
        (folder / kind / name).write_bytes(bytes(1_000_000))
    long_ago = server_time(folder) - 10 * 86_400
    os.utime(folder / "features" / "b.npy", (long_ago, long_ago))
    return folder


def test_the_sizes_of_caches_are_shown(dmlbench, cache):
    lines = dmlbench("doctor", "--cache-dir", cache).out.splitlines()
    assert "  decoded photos: 1 file, 1.00 MB" in lines
    assert "  features of frozen networks: 1 file, 1.00 MB" in lines


def test_a_cache_is_cleaned_of_what_nobody_has_read_for_so_long(dmlbench, cache):
    result = dmlbench("data", "clean", "--cache-dir", cache, "--older-than", 9, "--yes")
    assert result.code == 0
    assert result.out.splitlines()[-1] == "1.00 MB freed."
    assert contents(cache) == {"photos/a.store"}
    assert dmlbench("data", "clean", "--cache-dir", cache, "--yes").code == 0
    assert contents(cache) == set()
    again = dmlbench("data", "clean", "--cache-dir", cache, "--yes")
    assert again.code == 0
    assert "nothing to remove" in again.out


def test_nothing_is_removed_without_an_answer(dmlbench, cache):
    before = contents(cache)
    result = dmlbench("data", "clean", "--cache-dir", cache)
    assert result.code == 2
    assert "--yes" in result.err
    assert contents(cache) == before


def test_a_store_that_is_being_written_is_not_removed(dmlbench, cache):
    (cache / "photos" / "c--x.partial").write_bytes(bytes(9))  # nobody has locked it
    writing = cache / "photos" / f"d--{Owner.new()}.partial"
    writing.write_bytes(bytes(9))
    assert dmlbench("data", "clean", "--cache-dir", cache, "--yes").code == 0
    assert contents(cache) == {str(writing.relative_to(cache))}
