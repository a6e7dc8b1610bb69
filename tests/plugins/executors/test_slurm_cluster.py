"""Trials on a real Slurm of one node, which these tests start and stop."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import dawdling
from support.processes import wait_until
from support.slurm_cluster import processes_of, said, slurm_cluster, slurm_is_missing

from dmlbench import Record, WorkerSettings, hookimpl
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.executors.inline import Inline
from dmlbench.executors.run import run
from dmlbench.executors.worker import run_in_worker
from dmlbench.schemas.plan import Plan
from dmlbench.storage.record_store import Store
from dmlbench.testing.quick_trials import long_task, quick_task
from dmlbench.testing.quick_trials import trial as quick
from dmlbench_executors.slurm import Slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(slurm_is_missing()), reason=slurm_is_missing() or "-"),
]


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with slurm_cluster():
        yield


@pytest.fixture
def settings(tmp_path) -> WorkerSettings:
    return WorkerSettings(tmp_path / "runs", device="cpu", checkpoint_seconds=1e-3)


@pytest.fixture
def long_trial(trial_of):
    lengths = {"protocol.length.epochs": "3", "protocol.length.steps_per_epoch": "60"}
    return trial_of(losses=(f"{dawdling.__file__}:Dawdling",), settings=lengths)


def executor(**options) -> Slurm:
    return Slurm(check_shared=False, **options)


def bare(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def alone(plan: Plan, settings: WorkerSettings) -> list[str]:
    """Return the records of `plan`, run in this process, but for measurements."""
    folder = settings.records.with_name("alone")
    return list(map(bare, run(plan, replace(settings, records=folder), empty_manager(), Inline())))


def job_ids(states: str = "PENDING,RUNNING") -> list[str]:
    return said("squeue", "--noheader", "--array", f"--states={states}", "--format=%i").split()


def test_an_array_gives_the_records_of_this_process(plan_of, zoo, settings):
    plan = plan_of(losses=(zoo("Pull"), zoo("Raising")), baselines=("pixels",))
    records = run(plan, settings, empty_manager(), executor(trials_per_job=2))
    assert list(map(bare, records)) == alone(plan, settings)
    assert Counter(record.status for record in records) == {"finished": 2, "failed": 1}
    assert {job.partition("_")[2] for job in job_ids("all")} == {"0", "1"}
    assert not (settings.records / ".slurm").exists()


def test_a_stop_takes_back_what_waits_and_saves_what_runs(long_trial, settings):
    whole = executor(cpus_per_task=2, trials_per_job=1, jobs=2)
    other = long_trial.model_copy(update={"seed": 1})
    events = []
    for event in whole.run(run_in_worker, iter([long_trial, other]), settings):
        events.append(event)
        if event.epoch and event.epoch.epoch == 1:
            assert len(job_ids("PENDING")) == 1
            whole.stop(60)
    assert (events[-1].kind, events[-1].trial) == ("stopped", long_trial)
    assert {event.trial.id for event in events} == {long_trial.id}
    wait_until(lambda: job_ids() == [], 180)
    left = [path for path in settings.records.rglob("*") if path.is_file()]
    assert left == [Store(settings.records).checkpoint_path(long_trial)]


@pytest.mark.parametrize("how", ["scontrol requeue", "scancel --signal=USR2"])
def test_a_job_that_is_requeued_goes_on_from_its_checkpoint(how, long_trial, settings):
    """The one ends it as an administrator or a failing node does, the other as pre-emption."""
    events = []
    for event in executor().run(run_in_worker, iter([long_trial]), settings):
        events.append(event)
        if event.epoch and event.epoch.epoch == 1:
            wait_until(Store(settings.records).checkpoint_path(long_trial).exists)
            subprocess.run([*how.split(), *job_ids()], check=True)
    told = [event.kind for event in events if event.kind != "doing"]
    assert told == ["started", *["epoch"] * 4, "finished"]
    assert events[-1].record.measurements["resumed"] == 1
    assert [bare(events[-1].record)] == alone(Plan((long_trial,)), settings)


def test_a_job_that_is_killed_loses_its_trial_and_no_other(settings):
    ends = {}
    for event in executor(jobs=1).run(long_task, iter([quick(0), quick(1)]), settings):
        if event.kind == "epoch" and event.trial == quick(0):
            for process in processes_of(f"submitit.core._submit {settings.records}"):
                process.kill()
        if event.is_last:
            ends[event.trial.seed] = event
    assert (ends[0].kind, ends[1].kind) == ("lost", "finished")
    assert "(FAILED, NonZeroExitCode)" in ends[0].reason
    assert Path(ends[0].reason.partition("Its log is ")[2].partition(". The")[0]).is_file()


def test_a_trial_that_is_cancelled_ends_alone(settings):
    chosen, ends = executor(cpus_per_task=2), {}
    for event in chosen.run(long_task, map(quick, range(3)), settings):
        if event.kind == "epoch" and event.trial == quick(0):
            chosen.cancel(quick(0))
        if event.is_last:
            ends[event.trial.seed] = (event.kind, event.reason)
    assert ends == {0: ("lost", "cancelled"), 1: ("finished", ""), 2: ("finished", "")}


def test_jobs_end_with_their_run_if_it_is_closed(settings):
    events = executor().run(long_task, iter([quick(0), quick(0)]), settings)
    assert next(events).kind == "started"
    events.close()
    wait_until(lambda: job_ids("PENDING,RUNNING,COMPLETING") == [], 180)
    wait_until(lambda: processes_of(str(settings.records)) == [], 180)


class Starts:
    """Counts the trials that start in a run."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    @hookimpl
    def dmlbench_trial_started(self, trial):
        self.seeds.append(trial.seed)


def test_two_runs_on_one_folder_share_the_work(plan_of, zoo, settings):
    plan = plan_of(losses=(zoo("Pull"),), seeds=(0, 1))
    found: dict[int, list[str]] = {}
    starts = Starts()

    def work(number: int) -> None:
        hooks = empty_manager()
        hooks.register(starts)
        found[number] = list(map(bare, run(plan, settings, hooks, executor(jobs=1))))

    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] == alone(plan, settings)
    assert sorted(starts.seeds) == [0, 1]


def test_jobs_whose_run_was_killed_go_on_and_a_new_run_takes_their_records(
    long_trial, settings, tiny_protocol, zoo
):
    words = f"run --protocol {tiny_protocol} --dataset {zoo('Patterns')} --baseline none --seeds 1"
    command = [sys.executable, "-m", "dmlbench", *words.split(), "--executor", "slurm"]
    command += ["--loss", f"{dawdling.__file__}:Dawdling", "--set", "executor.check_shared=false"]
    for name in ("epochs=3", "steps_per_epoch=60"):
        command += ["--set", f"protocol.length.{name}"]
    command += ["--output", str(settings.records.parent), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: any(map(told_of, (settings.records / ".slurm").glob("*/*.events"))), 300)
    process.kill()
    process.wait()
    assert not Store(settings.records).path(long_trial).exists()
    hooks, starts = empty_manager(), Starts()
    hooks.register(starts)
    plan = Plan((long_trial,))
    assert list(map(bare, run(plan, settings, hooks, executor()))) == alone(plan, settings)
    assert starts.seeds == []


def told_of(events: Path) -> bool:
    return '"started"' in events.read_text()


def test_quick_trials_are_packed_into_few_jobs(settings):
    before = len(job_ids("all"))
    events = executor(trials_per_job=4).run(quick_task, map(quick, range(8)), settings)
    assert sum(event.kind == "finished" for event in events) == 8
    assert len(job_ids("all")) == before + 2
