"""The lock of a folder: one owner at a time, gone with its owner."""

import errno
import fcntl
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from dmlbench import DataError
from dmlbench.storage.locks import exclusive


def hold(path: Path, seconds: float, log: Path) -> None:
    with exclusive(path, lambda owner: None):
        with log.open("a") as file:
            file.write("in\n")
        signal.sigtimedwait([signal.SIGUSR1], seconds)
        with log.open("a") as file:
            file.write("out\n")


def test_owners_come_one_after_another(tmp_path):
    lock, log = tmp_path / ".lock", tmp_path / "log"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=hold, args=(lock, 0.05, log)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert log.read_text().split() == ["in", "out"] * 4
    assert not lock.exists()


def test_who_waits_is_told_whom_for_and_a_dead_owner_holds_nothing(tmp_path):
    lock, log = tmp_path / ".lock", tmp_path / "log"
    owner = multiprocessing.get_context("spawn").Process(target=hold, args=(lock, 60, log))
    owner.start()
    while not log.exists():
        assert owner.is_alive()
        owner.join(0.01)
    told = []

    def kill(who: str) -> None:
        told.append(who)
        os.kill(owner.pid, signal.SIGKILL)

    with exclusive(lock, kill):
        assert f"process {os.getpid()} " in lock.read_text()
    owner.join()
    assert len(told) == 1
    assert f"process {owner.pid} on " in told[0]
    assert not lock.exists()


def test_a_lock_file_that_somebody_left_is_no_lock(tmp_path):
    (tmp_path / ".lock").write_text("process 1 on elsewhere\n")
    with exclusive(tmp_path / ".lock", lambda owner: pytest.fail("waited")):
        pass
    assert not (tmp_path / ".lock").exists()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    with (
        pytest.raises(DataError, match=r"Can't lock .*absent: No such file"),
        exclusive(tmp_path / "absent" / ".lock", lambda owner: None),
    ):
        pass
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch, number):
    def no_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with (
        pytest.raises(DataError, match=rf"{os.strerror(number)}\. Choose another .* --data-dir"),
        exclusive(tmp_path / ".lock", lambda owner: None),
    ):
        pass
