"""Plugins that misbehave harm no trial but their own, and its record says what they did."""

import os
import re
import subprocess
import sys
from itertools import chain, zip_longest
from pathlib import Path

import pytest
from support import bad_plugins
from support.bad_plugins import LEFT, REASONS, Bad
from support.processes import is_running, needs_proc, wait_until, workers

from dmlbench import Record, WorkerSettings
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.executors.inline import Inline
from dmlbench.executors.local import Local
from dmlbench.executors.run import run
from dmlbench.executors.worker import run_in_worker
from dmlbench.schemas.plan import Plan
from dmlbench.storage.record_store import Store

pytestmark = needs_proc

LOSSES = [
    name
    for name, found in vars(bad_plugins).items()
    if isinstance(found, type) and issubclass(found, Bad) and found is not Bad
]
ENDING = [name for name in LOSSES if REASONS.get(name, "").startswith("The worker process")]
ENDLESS = [name for name in LOSSES if REASONS.get(name, "").startswith("It took")]
LEAVING_MUCH = ["UsesAPool", "LeavesAProcess", "KeepsMemory", "ForksAndGoesOn", "SleepsAtExit"]
IN_WORKERS_ONLY = [*LEAVING_MUCH, *ENDING, *ENDLESS]
SURVIVED = [name for name in LOSSES if name not in IN_WORKERS_ONLY]
CLEAN: dict[str, str] = {}


def bad(name: str) -> str:
    return f"{bad_plugins.__file__}:{name}"


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def name_of(record: Record) -> str:
    part = record.trial.parts.get("loss", record.trial.parts.get("baseline"))
    return part.name.rpartition(":")[2]


def clean(trial, folder: Path) -> str:
    """Return the record of an honest trial that no other disturbed."""
    if trial.id not in CLEAN:
        settings = WorkerSettings(folder / "clean", device="cpu")
        CLEAN[trial.id] = without_measurements(
            run_in_worker(trial, settings, lambda event: None).record
        )
    return CLEAN[trial.id]


def check(name: str, record: Record) -> None:
    """Check that the record of a bad plugin says what it must."""
    reason = REASONS.get(name, "")
    assert (record.status, bool(record.reason)) == (
        ("failed", True) if reason else ("finished", False)
    ), record.reason
    assert re.search(reason, record.reason), record.reason
    assert len(record.to_json()) < 100_000
    assert set(record.left_changed) == set(LEFT.get(name, ()))


def test_there_are_enough_kinds():
    assert len(LOSSES) >= 60


@pytest.mark.parametrize("name", SURVIVED)
def test_what_a_plugin_does_to_its_process_is_noted_and_undone(name, plan_of, zoo, tmp_path):
    (trial,) = plan_of(losses=(bad(name),)).trials
    (honest,) = plan_of(losses=(zoo("Pull"),)).trials
    expected, settings = clean(honest, tmp_path), WorkerSettings(tmp_path / "runs", device="cpu")
    event = run_in_worker(trial, settings, lambda event: None)
    check(name, event.record)
    assert event.worker_broken == (name in LEFT)
    assert Store(settings.records).read(trial).to_json() == event.record.to_json()
    after = run_in_worker(honest, settings, lambda event: None)
    assert without_measurements(after.record) == expected
    assert not after.worker_broken


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("samplers", "WritesToLabels"),
        ("backbone", "SetsTheDtypeWhenBuilt"),
        ("baselines", "PatchesInFit"),
    ],
)
def test_so_is_what_other_components_do(kind, name, plan_of, zoo, tmp_path):
    (honest,) = plan_of(losses=(zoo("Pull"),)).trials
    asked = {kind: bad(name) if kind == "backbone" else (bad(name),)}
    asked |= {} if kind == "baselines" else {"losses": (zoo("Pull"),)}
    expected, settings = clean(honest, tmp_path), WorkerSettings(tmp_path / "runs", device="cpu")
    for trial in (*plan_of(**asked).trials, honest):
        event = run_in_worker(trial, settings, lambda event: None)
        if trial is not honest:
            check(name, event.record)
    assert without_measurements(event.record) == expected


def outcomes(executor, trials, folder: Path) -> list[Record]:
    hooks = empty_manager()
    settings = WorkerSettings(folder / "runs", device="cpu")
    return run(Plan(tuple(trials)), settings, hooks, executor)


def run_with_honest_trials(names, executor, plan_of, zoo, folder: Path) -> None:
    """Run bad plugins, an honest trial after every second one, and check all records.

    Only what an honest trial takes itself is its peak of memory.
    """
    misbehaving = plan_of(losses=tuple(map(bad, names))).trials
    seeds = tuple(range(len(names) // 2 + 1))
    honest = plan_of(losses=(zoo("Pull"),), seeds=seeds).trials
    turns = zip_longest(misbehaving[::2], misbehaving[1::2], honest)
    trials = [trial for trial in chain.from_iterable(turns) if trial is not None]
    records = outcomes(executor, trials, folder)
    assert len(records) == len(trials)
    peaks = [one.measurements["peak_memory_mib"] for one in records if one.trial in honest]
    assert max(peaks) - min(peaks) < 300
    for record in records:
        if record.trial in honest:
            assert without_measurements(record) == clean(record.trial, folder)
            assert record.left_changed == []
        else:
            check(name_of(record), record)
    assert workers() == set()


def marked_processes() -> set[int]:
    """Return the processes that a plugin of the zoo started and nobody ended."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"600.25" in words and is_running(int(path.parent.name)):
            found.add(int(path.parent.name))
    return found


@pytest.mark.slow  # each worker imports torch
@pytest.mark.timeout(1800)
def test_a_worker_is_replaced_after_a_trial_that_changed_or_ended_it(plan_of, zoo, tmp_path, capfd):
    names = ["PatchesTorch", *ENDING, *LEAVING_MUCH]
    run_with_honest_trials(names, Local(jobs=1), plan_of, zoo, tmp_path)
    wait_until(lambda: not marked_processes())
    assert "resource_tracker" not in capfd.readouterr().err


@pytest.mark.slow  # each worker imports torch, and a limit must be longer than an honest trial
@pytest.mark.timeout(1800)
def test_a_trial_over_a_limit_fails_and_the_run_goes_on(plan_of, zoo, tmp_path, capfd):
    executor = Local(jobs=4, trial_timeout=120, trial_memory=3000)
    run_with_honest_trials(ENDLESS, executor, plan_of, zoo, tmp_path)
    assert "resource_tracker" not in capfd.readouterr().err


@pytest.mark.slow  # each worker imports torch
def test_without_workers_the_rest_runs_in_one_after_a_trial_that_changed_the_process(
    plan_of, zoo, tmp_path
):
    names = ["SetsTheDtype", "LeavesWithoutAWord"]  # the second would end this process
    run_with_honest_trials(names, Inline(), plan_of, zoo, tmp_path)


@pytest.mark.slow  # it imports everything
def test_what_honest_components_import_first_is_no_change(tmp_path):
    """In a process of its own: this one has imported it all."""
    script = tmp_path / "honest.py"
    script.write_text(HONEST)
    done = subprocess.run(
        [sys.executable, "-W", "default", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DMLBENCH_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["10", "finished,", "0", "changed"]


HONEST = """
import dmlbench
from dmlbench.compute.left_changed import change_noted
from dmlbench.executors.worker import run_in_worker, import_the_harness
from pathlib import Path

import_the_harness()
with change_noted() as changed:
    import timm, sklearn.ensemble, datasets, pandas, faiss
    try:
        import pytorch_metric_learning.losses
    except ImportError:
        pass
assert not changed, changed
short = {"protocol.length.epochs": 1, "protocol.length.steps_per_epoch": 2}
plans = [
    dmlbench.plan("iris", losses=("triplet", "xbm/contrastive", "proxy-anchor"),
                  baselines=("pca", "nca", "lda"), seeds=1, settings=short, progress=False),
    dmlbench.plan("digits-closed", losses=("contrastive", "magnet"), baselines=("pixels",), seeds=1,
                  settings=short, progress=False),
    dmlbench.plan("digits-closed", losses="triplet", baselines="none", backbone="timm/test_resnet",
                  seeds=1, settings={**short, "backbone.weights": "none"}, progress=False),
]
settings = dmlbench.WorkerSettings(Path("runs"), device="cpu")
trials = [trial for plan in plans for trial in plan.trials]
records = [run_in_worker(trial, settings, lambda event: None).record for trial in trials]
changed = [record.left_changed for record in records if record.left_changed]
assert not changed, changed
print(sum(r.status == "finished" for r in records), "finished,", len(changed), "changed")
"""
