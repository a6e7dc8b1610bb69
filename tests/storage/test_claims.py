"""Claims: one holder at a time, taken over when it is gone, and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.processes import wait_until

from dmlbench import DataError
from dmlbench.storage import claims as claims_module
from dmlbench.storage.claims import Claims, Holder
from dmlbench.storage.owners import Owner

HOLD = """
import sys, time
from pathlib import Path
from dmlbench.storage.claims import Claims
with Claims(Path(sys.argv[1])).take(sys.argv[2], sys.argv[3]):
    print("taken", flush=True)
    time.sleep(600)
"""

RACE = """
import sys
from pathlib import Path
from dmlbench.storage.claims import Claims
claims, kept = Claims(Path(sys.argv[1])), []
print("ready", flush=True)
sys.stdin.readline()
for name in sys.argv[2].split(","):
    if not claims.is_held(name) and (claim := claims.take(name)) is not None:
        kept.append(claim)
        print(name)
sys.stdout.flush()
sys.stdin.readline()
"""


@pytest.fixture
def claims(tmp_path) -> Claims:
    return Claims(tmp_path)


@pytest.fixture
def hold(tmp_path):
    """Have another process take a claim."""
    running = []

    def take(name: str, run: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(tmp_path), name, run]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        return process

    yield take
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def held_elsewhere(claims: Claims, name: str) -> Path:
    """Make a claim of another machine."""
    path = claims.folder / name / str(replace(Owner.new(), machine="00000000"))
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_one_holds_a_claim_until_it_is_given_back(claims, tmp_path):
    claim = claims.take("a")
    with claim:
        assert claims.take("a") is None
        assert claims.is_held("a")
        with claims.take("b"):
            pass
    with claims.take("a"):
        pass
    claims.remove_stale()
    assert everything(tmp_path) == []


def test_the_claim_of_a_process_that_was_killed_is_taken_over(claims, hold, tmp_path):
    process = hold("a")
    assert claims.is_held("a")
    assert claims.take("a") is None
    kill(process)
    assert not claims.is_held("a")
    with claims.take("a"):
        pass
    claims.remove_stale()
    assert everything(tmp_path) == []


def test_of_many_that_take_over_claims_of_the_dead_each_is_won_by_one(claims, hold, tmp_path):
    names = [f"trial{number}" for number in range(40)]
    dead = hold("dead")
    owner = claims.holder("dead").owner
    for number, name in enumerate(names):
        (claims.folder / name).mkdir()
        if number % 4:  # every fourth is free
            (claims.folder / name / str(replace(owner, token=f"{number:08x}"))).touch()
    kill(dead)
    command = [sys.executable, "-c", RACE, str(tmp_path), ",".join(names)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [racer.communicate("end\n")[0].split() for racer in racers]
    assert sorted(name for one in won for name in one) == sorted(names)


def test_a_worker_that_died_is_its_runs_to_tell_of(claims, hold):
    with claims.run() as run:
        kill(hold("a", run))
        assert claims.is_held("a")  # the run is about to write why it died
        claims.lose("a", "another run")
        assert claims.is_held("a")
        claims.lose("a", run)
        assert not claims.is_held("a")
        kill(hold("b", run))
    assert not claims.is_held("b")  # the run is gone as well


def test_a_holder_that_comes_back_takes_nothing_from_its_successor(claims):
    late = claims.take("a")
    claims.break_claim(claims.holder("a"))
    successor = claims.take("a")
    late.give_back()
    claims.break_claim(Holder(late.path, None))  # somebody who was slow to judge
    assert claims.holder("a").path == successor.path
    successor.give_back()


def test_another_machine_is_believed_dead_after_minutes_of_silence(claims, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(claims_module.time, "monotonic", lambda: now[0])
    path = held_elsewhere(claims, "a")
    for minutes, touch in ((4, True), (4, True), (4, False)):
        assert claims.is_held("a")
        now[0] += 60 * minutes
        if touch:
            os.utime(path, (0, time.time() + minutes))
    assert claims.is_held("a")
    now[0] += 61
    assert not claims.is_held("a")
    assert claims.take("a") is not None


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_clocks_that_jump_break_no_claim(claims, monkeypatch, jump):
    path = held_elsewhere(claims, "a")
    with claims.take("b"):
        assert claims.is_held("a")
        os.utime(path, (0, max(0, time.time() + jump)))  # its server's clock
        monkeypatch.setattr(time, "time", lambda: 1e9 + jump)  # ours
        assert claims.is_held("a")
        assert claims.is_held("b")


def test_a_holder_shows_signs_of_life(claims, monkeypatch):
    monkeypatch.setattr(claims_module, "_BEAT_SECONDS", 0.01)
    with claims.take("a") as claim:
        os.utime(claim.path, (0, 0))
        wait_until(lambda: claim.path.stat().st_mtime > 0)


def test_runs_beside_each_other_know_what_failed(claims):
    with claims.run() as early:
        claims.tell_failure("before", early)
        with claims.run() as late:
            claims.tell_failure("a", early)
            assert claims.has_failed("a", late)
            assert claims.has_failed("before", late)
            assert not claims.has_failed("b", late)
        with claims.run() as later:
            assert claims.has_failed("a", later)
            claims.tell_failure("c", later)
        with claims.run() as last:
            assert claims.has_failed("c", early)
            assert not claims.has_failed("c", last)  # the run that saw it has ended
    with claims.run() as next_day:
        assert not claims.has_failed("a", next_day)


def test_a_run_removes_what_the_dead_have_left(claims, hold, tmp_path):
    kill(hold("a", "run-0"))
    kill(hold("run-0"))
    (claims.folder / "run-0" / "failed-a-run-0").touch()
    (claims.folder / "empty").mkdir()
    dead = claims.holder("a").owner
    unfinished = claims.folder / f".{replace(dead, token='00000000')}"
    unfinished.mkdir()
    (unfinished / unfinished.name[1:]).touch()
    with claims.run():
        assert [name[:4] for name in claims.names()] == ["run-"]
    assert everything(tmp_path) == []


def test_a_file_system_that_can_not_hold_claims_is_found_out(claims, monkeypatch, tmp_path):
    rename = os.rename

    def over_anything(source, target):
        shutil.rmtree(target, ignore_errors=True)
        rename(source, target)

    monkeypatch.setattr(os, "rename", over_anything)
    with claims.run() as name:
        assert name == ""
    assert everything(tmp_path) == []


def test_a_full_disk_is_said(claims, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DataError, match=r"Can't claim trials .* No space left .* --output"):
        claims.run().__enter__()


def test_a_copy_of_the_process_gives_nothing_back(claims):
    with claims.take("a"):
        child = os.fork()
        if child == 0:
            claims_held = claims.take("a") is None
            os._exit(0 if claims_held else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert claims.is_held("a")
