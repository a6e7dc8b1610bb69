"""Trials in worker processes, some of which die."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.processes import is_running, needs_proc, wait_until, workers

from dmlbench import ConfigError, Event, Executor, Record, WorkerSettings
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.hook_plugins import plugin_manager
from dmlbench.executors.inline import Inline
from dmlbench.executors.local import Local, default_jobs
from dmlbench.executors.run import run
from dmlbench.executors.worker import run_in_worker
from dmlbench.schemas.plan import Plan
from dmlbench.storage.record_store import Store

pytestmark = [pytest.mark.slow, needs_proc]  # each worker imports torch


def settings_for(folder: Path) -> WorkerSettings:
    return WorkerSettings(folder / "runs", device="cpu")


def outcomes(executor: Executor, trials, folder: Path) -> dict[str, Record]:
    hooks = plugin_manager(Catalogue(()))
    records = run(Plan(tuple(trials)), settings_for(folder), hooks, executor)
    return {record.id: record for record in records}


def events_of(executor: Executor, trials, folder: Path):
    return executor.run(run_in_worker, iter(trials), settings_for(folder))


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def test_records_are_the_same_for_any_number_of_workers(plan_of, zoo, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    trials = plan_of(
        losses=(zoo("Pull"), zoo("Proxies"), zoo("Raising")),
        baselines=("pixels", "pca", "untrained"),
    ).trials
    here = outcomes(Inline(), trials, tmp_path / "0")
    for jobs in (1, 2):
        found = outcomes(Local(jobs=jobs), trials, tmp_path / str(jobs))
        for trial in trials:
            assert without_measurements(found[trial.id]) == without_measurements(here[trial.id])
            again = Store(tmp_path / str(jobs) / "runs").read(trial)
            assert again.to_json() == found[trial.id].to_json()
        assert workers() == set()


def test_a_plugin_that_takes_its_process_down_fails_only_its_own_trial(plan_of, zoo, tmp_path):
    names = ("Pull", "Vanishing", "Killed", "DyingAtTheEnd", "Exiting", "Proxies")
    trials = plan_of(losses=tuple(map(zoo, names))).trials
    found = outcomes(Local(jobs=2), trials, tmp_path)
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
    assert workers() == set()


def test_a_worker_that_dies_between_trials_is_replaced(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("Pull"),), seeds=(0, 1)).trials
    statuses = []
    for event in events_of(Local(jobs=1), trials, tmp_path):
        if event.record:
            statuses.append(event.record.status)
            (worker,) = workers()
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: not is_running(worker))  # noqa: B023
    assert statuses == ["finished", "finished"]


def test_a_worker_whose_device_works_no_more_is_replaced(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("BreakingTheDevice"), zoo("Pull")), seeds=(0, 1)).trials
    found = outcomes(Local(jobs=1), trials, tmp_path)
    records = [found[trial.id] for trial in trials]
    assert [record.status for record in records] == ["failed"] * 2 + ["finished"] * 2
    for trial, record in zip(trials, records, strict=True):
        assert ("device-side assert" in record.reason) == (record.status == "failed")
        assert Store(tmp_path / "runs").read(trial).to_json() == record.to_json()
    assert workers() == set()


def test_workers_end_when_nobody_listens_any_more(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("Pull"),), seeds=range(6)).trials
    events = events_of(Local(jobs=2), trials, tmp_path)
    assert next(events).kind == "started"
    assert len(workers()) == 2
    events.close()
    assert workers() == set()


def endless(plan_of, zoo, seeds=(0, 1)):
    """Return trials that take days."""
    settings = {"protocol.length.epochs": "1000000"}
    return plan_of(losses=(zoo("Pull"),), seeds=seeds, settings=settings).trials


def test_a_trial_that_is_cancelled_ends_with_the_reason_and_the_others_go_on(
    plan_of, zoo, tmp_path
):
    long, short = *endless(plan_of, zoo, seeds=(0,)), *plan_of(losses=(zoo("Pull"),)).trials
    executor = Local(jobs=1)
    ends = {}
    for event in events_of(executor, (long, short), tmp_path):
        if event.kind == "epoch" and event.trial.id == long.id:
            executor.cancel(long)
        if event.kind in ("finished", "lost"):
            ends[event.trial.id] = event
    assert ends[long.id] == Event("lost", long, reason="cancelled")
    assert ends[short.id].record.status == "finished"
    assert workers() == set()


def test_a_cancelled_trial_leaves_a_failed_record(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("Pull"),), seeds=(0, 1)).trials
    executor = Local(jobs=1)
    executor.cancel(trials[0])
    found = outcomes(executor, trials, tmp_path)
    assert [found[trial.id].status for trial in trials] == ["failed", "finished"]
    written = Store(tmp_path / "runs").read(trials[0])
    assert (written.status, written.reason) == ("failed", "cancelled")


def test_stop_ends_the_run_after_the_grace_period(plan_of, zoo, tmp_path):
    long, short = *endless(plan_of, zoo, seeds=(0,)), *plan_of(losses=(zoo("Pull"),)).trials
    drawn = []
    executor = Local(jobs=2)
    trials = iter((long, short, *endless(plan_of, zoo, seeds=range(2, 9))))
    events = events_of(executor, (drawn.append(trial) or trial for trial in trials), tmp_path)
    kinds = []
    for event in events:
        kinds.append((event.kind, event.trial.id))
        if event.kind == "started" and event.trial.id == short.id:
            threading.Thread(target=executor.stop, args=(600.0,)).start()
        if event.kind == "finished":
            began = time.monotonic()
            executor.stop(0.5)
    assert time.monotonic() - began < 15
    assert ("finished", short.id) in kinds  # within the grace period
    assert not [kind for kind in kinds if kind == ("finished", long.id)]
    assert drawn == [long, short]
    assert workers() == set()


def test_trials_are_drawn_when_a_worker_is_free(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("Pull"),), seeds=range(4)).trials
    drawn, ended = [], []

    def one_at_a_time():
        for trial in trials:
            assert len(drawn) - len(ended) < 2
            drawn.append(trial)
            yield trial

    for event in events_of(Local(jobs=2), one_at_a_time(), tmp_path):
        if event.kind == "finished":
            ended.append(event.trial)
    assert len(ended) == len(trials)


FORKING = """
import os, time
from dmlbench import Loss

class Forking(Loss):
    "Leaves a child that holds the pipe, and dies."
    takes = "labels"
    def forward(self, pairs, selection):
        if os.fork() == 0:
            os.close(1), os.close(2)
            time.sleep(20)
        os._exit(5)
"""


def test_a_child_that_holds_the_pipe_of_a_dead_worker_delays_nothing(plan_of, tmp_path):
    (tmp_path / "forking.py").write_text(FORKING)
    trials = plan_of(losses=(f"{tmp_path}/forking.py:Forking",)).trials
    began = time.monotonic()
    (record,) = outcomes(Local(jobs=1), trials, tmp_path).values()
    assert record.reason.startswith("The worker process exited with code 5")
    assert time.monotonic() - began < 15


def test_a_run_on_a_gpu_has_one_worker_and_on_the_cpu_one_a_core():
    assert default_jobs("cuda:1") == 1
    assert default_jobs("cpu") == len(os.sched_getaffinity(0))
    assert default_jobs("auto") >= 1


def test_a_number_of_workers_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"executor\.jobs=0: at least 1"):
        Local(jobs=0)


PARENT = """
import sys
from pathlib import Path
from support.processes import workers
from dmlbench import Trial, WorkerSettings
from dmlbench.executors.local import Local
from dmlbench.executors.worker import run_in_worker

trial = Trial.model_validate_json(Path("trial.json").read_text())
settings = WorkerSettings(Path("runs"), device="cpu")
for event in Local(jobs=1).run(run_in_worker, iter([trial]), settings):
    print(event.kind, *workers(), flush=True)
"""
TESTS = str(Path(__file__).parents[1])


@pytest.mark.parametrize("how", ["parent.py", "-c", "-"])
def test_workers_do_not_run_the_main_program_again(trial_of, zoo, tmp_path, how):
    """There is no guard in it, which a worker of multiprocessing would need."""
    trial = trial_of(losses=(zoo("Pull"),))
    (tmp_path / "trial.json").write_text(trial.model_dump_json())
    (tmp_path / "parent.py").write_text(PARENT)
    arguments = ["-c", PARENT] if how == "-c" else [how]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": TESTS},
        input=PARENT if how == "-" else "",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    assert kinds == ["started", "epoch", "epoch", "epoch", "finished"]


def test_workers_end_when_their_parent_is_killed(trial_of, zoo, tmp_path):
    settings = {"protocol.length.epochs": "1000000"}  # it would take days
    trial = trial_of(losses=(zoo("Pull"),), settings=settings)
    (tmp_path / "trial.json").write_text(trial.model_dump_json())
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, "parent.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": TESTS},
        stdout=subprocess.PIPE,
        text=True,
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
