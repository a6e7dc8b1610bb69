"""Trials in worker processes, some of which die."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dmlbench.contracts.executor import WorkerSettings
from dmlbench.executors.inline import run_inline
from dmlbench.executors.local import run_local
from dmlbench.schemas.record import Record
from dmlbench.storage.record_store import Store

pytestmark = pytest.mark.slow  # each worker imports torch


def site(folder: Path) -> WorkerSettings:
    return WorkerSettings(folder / "runs", device="cpu")


def outcomes(events) -> dict[str, Record]:
    return {event.trial.id: event.record for event in events if event.record}


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_records_are_the_same_for_any_number_of_workers(plan_of, zoo, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    trials = plan_of(
        losses=(zoo("Pull"), zoo("Proxies"), zoo("Raising")),
        baselines=("pixels", "pca", "untrained"),
    ).trials
    here = outcomes(run_inline(trials, site(tmp_path / "0")))
    for jobs in (1, 2):
        found = outcomes(run_local(trials, site(tmp_path / str(jobs)), jobs))
        for trial in trials:
            assert without_measurements(found[trial.id]) == without_measurements(here[trial.id])
            again = Store(tmp_path / str(jobs) / "runs").read(trial)
            assert again.to_json() == found[trial.id].to_json()
        assert multiprocessing.active_children() == []


def test_a_plugin_that_takes_its_process_down_fails_only_its_own_trial(plan_of, zoo, tmp_path):
    names = ("Pull", "Vanishing", "Killed", "DyingAtTheEnd", "Exiting", "Proxies")
    trials = plan_of(losses=tuple(map(zoo, names))).trials
    found = outcomes(run_local(trials, site(tmp_path), jobs=2))
    by_name = {trial.parts["loss"].name.rpartition(":")[2]: found[trial.id] for trial in trials}
    assert by_name["Vanishing"].reason.startswith("The worker process exited with code 3")
    assert by_name["Killed"].reason.startswith("The worker process was killed by signal 9")
    assert "run out of memory" in by_name["Killed"].reason
    assert "SystemExit: 7" in by_name["Exiting"].reason
    assert {name: record.status for name, record in by_name.items()} == {
        "Pull": "finished",
        "Vanishing": "failed",
        "Killed": "failed",
        "DyingAtTheEnd": "finished",
        "Exiting": "failed",
        "Proxies": "finished",
    }
    for trial in trials:
        assert Store(tmp_path / "runs").read(trial).status == found[trial.id].status
    assert multiprocessing.active_children() == []


def test_a_worker_that_dies_between_trials_is_replaced(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("Pull"),), seeds=(0, 1)).trials
    events = run_local(trials, site(tmp_path), jobs=1)
    statuses = []
    for event in events:
        if event.record:
            statuses.append(event.record.status)
            (worker,) = multiprocessing.active_children()
            worker.kill()
            worker.join()
    assert statuses == ["finished", "finished"]


def test_a_worker_whose_device_works_no_more_is_replaced(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("BreakingTheDevice"), zoo("Pull")), seeds=(0, 1)).trials
    found = outcomes(run_local(trials, site(tmp_path), jobs=1))
    records = [found[trial.id] for trial in trials]
    assert [record.status for record in records] == ["failed"] * 2 + ["finished"] * 2
    for trial, record in zip(trials, records, strict=True):
        assert ("device-side assert" in record.reason) == (record.status == "failed")
        assert Store(tmp_path / "runs").read(trial).to_json() == record.to_json()
    assert multiprocessing.active_children() == []


def test_workers_end_when_nobody_listens_any_more(plan_of, zoo, tmp_path):
    events = run_local(plan_of(losses=(zoo("Pull"),), seeds=range(6)).trials, site(tmp_path), 2)
    assert next(events).kind == "started"
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    events.close()
    assert not any(worker.is_alive() for worker in workers)
    assert multiprocessing.active_children() == []


PARENT = """
import multiprocessing, sys
from pathlib import Path
from dmlbench.contracts.executor import WorkerSettings
from dmlbench.executors.local import run_local
from dmlbench.schemas.trial import Trial

if __name__ == "__main__":
    trial = Trial.model_validate_json(Path("trial.json").read_text())
    for event in run_local([trial], WorkerSettings(Path("runs"), device="cpu"), 1):
        (worker,) = multiprocessing.active_children()
        print(event.kind, worker.pid, flush=True)
"""


def is_running(pid: int) -> bool:
    """Return whether a process is there and not a zombie that nobody has collected yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_workers_end_when_their_parent_is_killed(trial_of, zoo, tmp_path):
    settings = {"protocol.length.epochs": "1000000"}  # it would take days
    trial = trial_of(losses=(zoo("Pull"),), settings=settings)
    (tmp_path / "trial.json").write_text(trial.model_dump_json())
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    for line in parent.stdout:
        kind, worker = line.split()
        if kind == "epoch":  # it is in the middle of the trial
            break
    assert is_running(int(worker))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_running(int(worker)))
    assert list((tmp_path / "runs").rglob("*.json")) == []
