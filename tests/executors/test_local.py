"""Trials in worker processes, some of which die."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.device_task import device_task
from support.forking_task import forking_task, stubborn_task
from support.processes import is_running, needs_proc, wait_until, workers

from dmlbench import ConfigError, Event, Executor, Record, WorkerSettings
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.contracts.executor import Task
from dmlbench.executors.inline import Inline
from dmlbench.executors.local import Local, default_jobs
from dmlbench.executors.run import run
from dmlbench.schemas.plan import Plan
from dmlbench.storage.record_store import Store
from dmlbench.testing.quick_trials import long_task, quick_task
from dmlbench.testing.quick_trials import trial as quick

pytestmark = needs_proc


def settings_for(folder: Path, device: str = "cpu") -> WorkerSettings:
    return WorkerSettings(folder / "runs", device=device)


def outcomes(executor: Executor, trials, folder: Path, *device: str) -> dict[str, Record]:
    hooks = empty_manager()
    records = run(Plan(tuple(trials)), settings_for(folder, *device), hooks, executor)
    return {record.id: record for record in records}


def events_of(executor: Executor, trials, folder: Path, task: Task = quick_task) -> Iterator[Event]:
    return executor.run(task, iter(trials), WorkerSettings(folder))


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


@pytest.mark.slow  # each worker imports torch
def test_records_are_the_same_for_any_number_of_workers(plan_of, zoo, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    trials = plan_of(
        losses=(zoo("Pull"), zoo("Proxies"), zoo("Raising")),
        baselines=("pixels", "pca", "untrained"),
    ).trials
    here = outcomes(Inline(), trials, tmp_path / "0")
    ways = {"one": (Local(jobs=1), "cpu"), "two": (Local(devices="cpu,cpu"), "auto")}
    for name, (executor, device) in ways.items():
        found = outcomes(executor, trials, tmp_path / name, device)
        for trial in trials:
            assert without_measurements(found[trial.id]) == without_measurements(here[trial.id])
            again = Store(tmp_path / name / "runs").read(trial)
            assert again.to_json() == found[trial.id].to_json()
        assert workers() == set()


@pytest.mark.slow  # each worker imports torch
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


def test_a_worker_that_dies_between_trials_is_replaced(tmp_path):
    statuses = []
    for event in events_of(Local(jobs=1), [quick(0), quick(1)], tmp_path):
        if event.record:
            statuses.append(event.record.status)
            (worker,) = workers()
            kill_and_wait(worker)
    assert statuses == ["finished", "finished"]


def kill_and_wait(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)
    # All of its threads must be gone; a zombie's state shows the first one's end alone.
    state = os.WEXITED | os.WNOHANG | os.WNOWAIT
    wait_until(lambda: os.waitid(os.P_PID, worker, state) is not None)


@pytest.mark.slow  # each worker imports torch
def test_a_worker_whose_device_works_no_more_is_replaced(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("BreakingTheDevice"), zoo("Pull")), seeds=(0, 1)).trials
    found = outcomes(Local(jobs=1), trials, tmp_path)
    records = [found[trial.id] for trial in trials]
    assert [record.status for record in records] == ["failed"] * 2 + ["finished"] * 2
    for trial, record in zip(trials, records, strict=True):
        assert ("device-side assert" in record.reason) == (record.status == "failed")
        assert Store(tmp_path / "runs").read(trial).to_json() == record.to_json()
    assert workers() == set()


def test_workers_end_when_the_events_are_closed(tmp_path):
    events = events_of(Local(jobs=2), map(quick, range(6)), tmp_path, long_task)
    assert next(events).kind == "started"
    assert len(workers()) == 2
    events.close()
    assert workers() == set()


def test_a_trial_that_is_cancelled_ends_with_the_reason_and_the_others_go_on(tmp_path):
    executor, ends = Local(jobs=1), []
    for event in events_of(executor, map(quick, range(3)), tmp_path, long_task):
        if event.kind == "epoch" and event.trial == quick(0):
            executor.cancel(event.trial)
        if event.kind in ("finished", "lost"):
            ends.append((event.kind, event.trial.seed, event.reason))
    assert ends == [("lost", 0, "cancelled"), ("finished", 1, ""), ("finished", 2, "")]
    assert workers() == set()


def test_a_trial_that_is_cancelled_before_it_is_drawn_leaves_a_failed_record(tmp_path):
    executor, store = Local(jobs=1), Store(tmp_path / "runs")
    executor.cancel(quick(0))
    (record,) = outcomes(executor, [quick(0)], tmp_path).values()
    assert (record.status, record.reason) == ("failed", "cancelled")
    assert store.read(quick(0)).to_json() == record.to_json()


def test_stop_lets_trials_finish_within_the_grace_period_and_draws_no_other(tmp_path):
    drawn = []

    def draw():
        for seed in range(9):
            drawn.append(seed)
            yield quick(seed)

    executor, finished, began = Local(jobs=2), [], 0.0
    for event in events_of(executor, draw(), tmp_path, long_task):
        if event.kind == "epoch" and event.trial == quick(1):
            executor.stop(600)
        if event.kind == "finished":
            finished.append(event.trial.seed)
            threading.Timer(0.2, executor.stop, [0.2]).start()
            began = time.monotonic()
    assert finished == [1]
    assert drawn == [0, 1]
    assert time.monotonic() - began < 20  # the trial of seed 0 would take a minute
    assert workers() == set()


def test_trials_are_drawn_when_a_worker_is_free(tmp_path):
    drawn, ended = [], []

    def draw():
        for seed in range(5):
            assert len(drawn) - len(ended) < 2
            drawn.append(seed)
            yield quick(seed)

    for event in events_of(Local(jobs=2), draw(), tmp_path):
        if event.kind == "finished":
            ended.append(event.trial.seed)
    assert sorted(ended) == drawn == [0, 1, 2, 3, 4]


def test_a_child_that_holds_the_pipe_of_a_dead_worker_delays_nothing(tmp_path):
    began = time.monotonic()
    (event,) = events_of(Local(jobs=1), [quick(0)], tmp_path, forking_task)
    assert event.reason.startswith("The worker process exited with code 5")
    assert time.monotonic() - began < 15


def test_a_worker_that_ignores_what_asks_it_to_end_is_killed_with_what_it_started(tmp_path):
    events = events_of(Local(jobs=1), [quick(0)], tmp_path, stubborn_task)
    child = int(next(events).reason)
    (worker,) = workers()
    events.close()
    wait_until(lambda: workers() == set())
    wait_until(lambda: not is_running(child))
    assert not is_running(worker)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_worker_that_is_stopped_or_killed_costs_its_trial(how, tmp_path):
    ends = []
    executor = Local(jobs=1, trial_timeout=5)
    for event in events_of(executor, [quick(0), quick(1)], tmp_path, long_task):
        if event.kind == "started" and event.trial == quick(0):
            os.kill(*workers(), how)
        if event.kind in ("finished", "lost"):
            ends.append((event.kind, event.trial.seed))
            stopped = "limit of 5 seconds" if how == signal.SIGSTOP else "killed by signal 9"
            assert event.kind == "finished" or stopped in event.reason
    assert ends == [("lost", 0), ("finished", 1)]


def test_a_trial_over_its_memory_is_lost(tmp_path):
    executor = Local(jobs=1, trial_memory=1)  # which any process takes
    (event,) = (
        event
        for event in events_of(executor, [quick(0)], tmp_path, long_task)
        if event.kind in ("finished", "lost")
    )
    assert "MiB of memory, more than the limit of 1 MiB" in event.reason


def test_each_trial_can_have_a_process_of_its_own(tmp_path):
    for isolate, count in ((True, 3), (False, 1)):
        executor, seen = Local(jobs=1, isolate=isolate), set()
        for event in events_of(executor, map(quick, range(3)), tmp_path):
            seen |= workers() if event.kind == "epoch" else set()
        assert len(seen) == count


def test_a_run_on_a_gpu_has_one_worker_and_on_the_cpu_one_a_core():
    assert default_jobs("cuda:1") == 1
    assert default_jobs("cpu") == len(os.sched_getaffinity(0))
    assert default_jobs("auto") >= 1


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(
    ("options", "expected", "where"),
    [
        ({"devices": "all"}, ["cuda:0", "cuda:1"], "2 worker processes on cuda:0, cuda:1"),
        ({"devices": "cuda:1, cuda:1"}, ["cuda:1"] * 2, "2 worker processes on cuda:1"),
        (
            {"devices": "cuda:0,cuda:1", "jobs": 3},
            ["cuda:0", "cuda:0", "cuda:1"],
            "3 worker processes on cuda:0, cuda:1",
        ),
    ],
)
def test_workers_take_turns_on_devices(two_gpus, tmp_path, options, expected, where):
    executor, count = Local(**options), len(expected)
    assert executor.where(WorkerSettings(tmp_path)) == where
    events = events_of(executor, map(quick, range(count)), tmp_path, device_task)
    assert sorted(event.reason for event in events) == expected


def test_a_worker_that_is_replaced_computes_where_the_last_one_did(two_gpus, tmp_path):
    executor, found = Local(devices="cuda:0,cuda:1", isolate=True), []
    for event in events_of(executor, map(quick, range(8)), tmp_path, device_task):
        found.append(event.reason)
    assert set(found[:2]) == {"cuda:0", "cuda:1"}
    assert Counter(found).total() == 8
    assert min(Counter(found).values()) >= 2


@pytest.mark.parametrize(
    ("devices", "device", "reason"),
    [
        ("cuda:0,cuda:2", "auto", "no device 'cuda:2' on this machine"),
        ("cuda:0,", "auto", "no device '' on this machine"),
        ("cuda:0,cuda:1", "cuda:1", "--device cuda:1 is where all workers compute, --devices"),
        ("cpu,cpu", "cpu", "Leave one out"),
    ],
)
def test_devices_that_are_not_there_or_contradict_are_refused(
    two_gpus, tmp_path, devices, device, reason
):
    executor, settings = Local(devices=devices), WorkerSettings(tmp_path, device=device)
    with pytest.raises(ConfigError, match=reason):
        executor.where(settings)
    with pytest.raises(ConfigError, match=reason):
        next(executor.run(quick_task, iter([quick(0)]), settings))


def test_devices_in_turn_and_several_for_a_trial_are_refused(two_gpus, tmp_path):
    several = WorkerSettings(tmp_path, devices_per_trial=2)
    with pytest.raises(ConfigError, match=r"--devices all .* --devices-per-trial 2 .* Leave one"):
        Local(devices="all").where(several)


def test_all_gpus_where_there_is_none_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="every GPU, and torch finds none"):
        Local(devices="all").where(WorkerSettings(tmp_path))


def test_a_number_of_workers_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"executor\.jobs=0: at least 1"):
        Local(jobs=0)


PARENT = """
import sys
from pathlib import Path
from support.forking_task import forking_task
from support.processes import workers
from dmlbench import WorkerSettings
from dmlbench.executors.local import Local
from dmlbench.testing.quick_trials import long_task, quick_task
from dmlbench.testing.quick_trials import trial as quick

task = long_task if sys.argv[1:] == ["long"] else quick_task
for event in Local(jobs=1).run(task, iter([quick(0)]), WorkerSettings(Path())):
    print(event.kind, *workers(), flush=True)
"""
TESTS = str(Path(__file__).parents[1])


@pytest.mark.parametrize("how", ["parent.py", "-c", "-"])
def test_workers_do_not_run_the_main_program_again(tmp_path, how):
    """There is no guard in it, which a worker of multiprocessing would need."""
    (tmp_path / "parent.py").write_text(PARENT)
    done = subprocess.run(
        [sys.executable, *(["-c", PARENT] if how == "-c" else [how])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": TESTS},
        input=PARENT if how == "-" else "",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    assert kinds == ["started", "epoch", "epoch", "finished"]


def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, "parent.py", "long"],
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
    wait_until(lambda: not is_running(int(worker)), seconds=20)  # the trial takes a minute
