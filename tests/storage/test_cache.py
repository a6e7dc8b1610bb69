"""Files that can be made again: where they are, and that each is whole or not there."""

import errno
import fcntl
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import IO, Any

import pytest

from dmlbench import ConfigError, DataError
from dmlbench.storage import cache
from dmlbench.storage.cache import cache_folder, read_or_create

SPAWN = multiprocessing.get_context("spawn")


# Where


@pytest.fixture
def environment(monkeypatch):
    def put(**variables: str | None) -> None:
        for name in ("DMLBENCH_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


def test_the_cache_is_where_it_is_said_to_be(environment, tmp_path):
    environment(DMLBENCH_CACHE="/from/variable", XDG_CACHE_HOME="/shared")
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder() == Path("/from/variable")
    environment(XDG_CACHE_HOME="/shared", HOME="/home/me")
    assert cache_folder() == Path("/shared/dmlbench")
    environment(HOME="/home/me")
    assert cache_folder() == Path("/home/me/.cache/dmlbench")
    environment(DMLBENCH_CACHE="", XDG_CACHE_HOME="relative/is/ignored", HOME="/home/me")
    assert cache_folder() == Path("/home/me/.cache/dmlbench")
    environment(DMLBENCH_CACHE="~/mine", HOME="/home/me")
    assert cache_folder() == Path("/home/me/mine")


def test_without_a_home_the_user_is_told_what_to_set(environment, monkeypatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    environment()
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigError, match=r"no home folder.*--cache-dir or the variable DMLBENCH_"):
        cache_folder()


# Whole or not there


def read(path: Path) -> bytes | None:
    """Return what is in a file; one that does not end as it should is damaged."""
    content = path.read_bytes() if path.exists() else b""
    return content if content.endswith(b".") else None


def writes(text: bytes):
    return lambda file: file.write(text)


def test_a_file_is_written_once(tmp_path):
    path = tmp_path / "deep" / "er" / "x.store"
    assert read_or_create(path, read, writes(b"one.")) == b"one."
    assert read_or_create(path, read, writes(b"two.")) == b"one."
    assert os.listdir(path.parent) == ["x.store"]


def test_a_damaged_file_is_written_again(tmp_path):
    path = tmp_path / "x.store"
    path.write_bytes(b"tor")
    assert read_or_create(path, read, writes(b"whole.")) == b"whole."
    with pytest.raises(DataError, match="is damaged right after being written"):
        read_or_create(tmp_path / "y.store", read, writes(b"never whole"))


@pytest.mark.parametrize("error", [KeyError("x"), DataError("x"), KeyboardInterrupt()])
def test_nothing_is_left_of_what_failed(tmp_path, error):
    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        file.flush()
        raise error

    with pytest.raises(type(error)):
        read_or_create(tmp_path / "x.store", read, fail)
    assert os.listdir(tmp_path) == []
    assert read_or_create(tmp_path / "x.store", read, writes(b"later.")) == b"later."


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_named_and_left_clean(tmp_path, number):
    def fill(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(number, os.strerror(number))

    reason = rf"the cache {tmp_path}: {os.strerror(number)}\. Choose another folder"
    with pytest.raises(DataError, match=reason):
        read_or_create(tmp_path / "x.store", read, fill)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="Can't use the cache"):
        read_or_create(tmp_path / "file" / "x.store", read, writes(b"x."))


def test_a_file_that_can_not_be_read_is_named(tmp_path):
    def refused(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.raises(DataError, match=f"the cache {tmp_path}: Permission denied. Choose another"):
        read_or_create(tmp_path / "x.store", refused, writes(b"x."))


def test_without_locks_each_writes_a_file_of_its_own(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(cache.fcntl, "flock", no_locks)

    def write(file: IO[bytes]) -> None:
        file.write(b"mine.")
        if not path.exists():  # another process is as far
            read_or_create(path, read, writes(b"theirs."))

    path = tmp_path / "x.store"
    assert read_or_create(path, read, write) == b"mine."
    assert os.listdir(tmp_path) == ["x.store"]


# Several processes


def in_halves(path: Path, log: Path, together: Any = None) -> None:
    """Write a file in two halves, and note that it was done."""

    def write(file: IO[bytes]) -> None:
        with log.open("a") as notes:
            notes.write(f"{os.getpid()}\n")
        file.write(b"first half, ")
        file.flush()
        file.write(b"second half.")

    if together:
        together.wait()
    assert read_or_create(path, read, write) == b"first half, second half."


def test_of_many_processes_one_writes_and_all_read(tmp_path):
    path, log = tmp_path / "x.store", tmp_path / "log"
    together = SPAWN.Barrier(4)
    processes = [SPAWN.Process(target=in_halves, args=(path, log, together)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(log.read_text().split()) == 1
    assert sorted(os.listdir(tmp_path)) == ["log", "x.store"]


def forever(path: Path) -> None:
    def write(file: IO[bytes]) -> None:
        file.write(b"half")
        file.flush()
        signal.pause()

    read_or_create(path, read, write)


def test_what_a_killed_process_left_is_written_again(tmp_path):
    path, other = tmp_path / "x.store", tmp_path / "y.store"
    killed = [SPAWN.Process(target=forever, args=(some,)) for some in (path, other)]
    for process in killed:
        process.start()
    while [f.read_bytes() for f in tmp_path.glob("*.partial")] != [b"half"] * 2:
        assert all(process.is_alive() for process in killed)
        time.sleep(0.01)
    waiting = SPAWN.Process(target=in_halves, args=(path, tmp_path / "log"))
    waiting.start()
    for process in killed:
        process.kill()
        process.join()
    waiting.join()
    assert waiting.exitcode == 0
    assert read(path) == b"first half, second half."
    read_or_create(tmp_path / "z.store", read, writes(b"z."))  # removes what nobody writes any more
    assert sorted(os.listdir(tmp_path)) == ["log", "x.store", "z.store"]


def test_what_another_process_still_writes_is_left_to_it(tmp_path):
    other = tmp_path / "other.partial"
    with other.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        read_or_create(tmp_path / "x.store", read, writes(b"x."))
        assert other.exists()
