"""The main job: going on where an earlier run stopped, and calling hooks."""

from dataclasses import replace

import numpy as np
import pluggy
import pytest
from safetensors.numpy import load_file, save_file
from support.processes import workers

from dmlbench import DataError, Event, Executor, PluginError, WorkerSettings, hookimpl
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.executors.inline import Inline
from dmlbench.executors.local import Local
from dmlbench.executors.run import progress, run
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record
from dmlbench.storage.claims import Claims
from dmlbench.storage.record_store import Store


class Listener:
    """Notes every hook that is called."""

    def __init__(self) -> None:
        self.heard: list[tuple] = []

    @hookimpl
    def dmlbench_run_started(self, plan):
        self.heard.append(("run started", len(plan.trials)))

    @hookimpl
    def dmlbench_trial_started(self, trial):
        self.heard.append(("trial started", trial.id))

    @hookimpl
    def dmlbench_epoch_finished(self, trial, metrics):
        self.heard.append(("epoch finished", trial.id, metrics["epoch"]))

    @hookimpl
    def dmlbench_trial_finished(self, trial, record):
        self.heard.append(("trial finished", trial.id, record.status))

    @hookimpl
    def dmlbench_run_finished(self, records):
        self.heard.append(("run finished", [record.id for record in records]))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def hooks(listener) -> pluggy.PluginManager:
    manager = empty_manager()
    manager.register(listener)
    return manager


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def ran(listener: Listener) -> list[str]:
    """Return the trials that ran, and forget what was heard."""
    found = [event[1] for event in listener.heard if event[0] == "trial started"]
    listener.heard.clear()
    return found


def test_hooks_are_called_in_order(plan_of, zoo, store, hooks, listener):
    plan = plan_of(losses=(zoo("Pull"), zoo("Raising")))
    records = run(plan, WorkerSettings(store.folder, device="cpu"), hooks, Inline())
    good, bad = (trial.id for trial in plan.trials)
    assert listener.heard == [
        ("run started", 2),
        ("trial started", good),
        *(("epoch finished", good, epoch) for epoch in (0, 1, 2)),
        ("trial finished", good, "finished"),
        ("trial started", bad),
        ("epoch finished", bad, 0),
        ("trial finished", bad, "failed"),
        ("run finished", [good, bad]),
    ]
    assert [record.id for record in records] == [good, bad]


def test_what_is_finished_is_not_run_again(plan_of, zoo, store, hooks, listener):
    site = WorkerSettings(store.folder, device="cpu")
    small = plan_of(losses=(zoo("Pull"),), seeds=(0,))
    first = run(small, site, hooks, Inline())
    assert ran(listener) == [small.trials[0].id]
    large = plan_of(losses=(zoo("Pull"),), seeds=(1, 0))
    records = run(large, site, hooks, Inline())
    assert ran(listener) == [large.trials[0].id]
    assert [record.trial.seed for record in records] == [1, 0]
    assert records[1].to_json() == first[0].to_json()
    run(large, site, hooks, Inline())
    assert ran(listener) == []


@pytest.mark.parametrize("executor", [Inline(), Local(jobs=1)], ids=["inline", "local"])
def test_embeddings_that_are_to_be_kept_are_kept(plan_of, zoo, store, hooks, listener, executor):
    site = WorkerSettings(store.folder, device="cpu")
    plan = plan_of(losses=(zoo("Pull"),), seeds=(0,))
    run(plan, site, hooks, Inline())
    assert store.embeddings(plan.trials[0]) is None
    (record,) = run(plan, replace(site, keep_embeddings=True), hooks, executor)
    kept = store.embeddings(plan.trials[0])
    assert len(kept["test"]) == record.details["test_items"]
    assert kept["test"].dtype == np.float32
    ran(listener)
    run(plan, replace(site, keep_embeddings=True), hooks, Inline())
    assert ran(listener) == []
    path = store.embeddings_path(plan.trials[0])
    labels = load_file(path)["test.labels"]
    classes = record.per_query["class"].unpack()
    assert np.unique(labels, return_inverse=True)[1].tolist() == classes.tolist()
    save_file({"test": kept["test"]}, path)  # without labels, as an older dmlbench kept them
    run(plan, replace(site, keep_embeddings=True), hooks, Inline())
    assert ran(listener) == [plan.trials[0].id]
    assert load_file(path)["test.labels"].tolist() == labels.tolist()
    path.write_bytes(b"cut short")
    with pytest.raises(DataError, match="can't be read"):
        store.embeddings(plan.trials[0])


def test_a_trial_whose_embeddings_can_not_be_kept_fails(plan_of, zoo, store, hooks):
    plan = plan_of(losses=(zoo("Pull"),), seeds=(0,))
    store.embeddings_path(plan.trials[0]).mkdir(parents=True)
    site = WorkerSettings(store.folder, device="cpu", keep_embeddings=True)
    (record,) = run(plan, site, hooks, Inline())
    assert record.status == "failed"
    assert "embeddings can't be written" in record.reason


def test_failed_and_damaged_ones_are_run_again(plan_of, zoo, store, hooks, listener):
    site = WorkerSettings(store.folder, device="cpu")
    plan = plan_of(losses=(zoo("Pull"),), seeds=(0, 1, 2))
    before = run(plan, site, hooks, Inline())
    ran(listener)
    failed, damaged, _ = plan.trials
    store.write(before[0].model_copy(update={"status": "failed", "reason": "a full disk"}))
    store.path(damaged).write_text("{")
    found = progress(plan, store)
    assert [record.trial.seed for record in found.done] == [2]
    assert [trial.seed for trial in found.to_do] == [0, 1]
    assert len(found.damaged) == 1
    assert str(store.path(damaged)) in found.damaged[0]
    after = run(plan, site, hooks, Inline())
    assert ran(listener) == [failed.id, damaged.id]

    def bare(record: Record) -> str:
        return record.model_copy(update={"measurements": {}}).to_json()

    assert list(map(bare, after)) == list(map(bare, before))


def test_a_run_that_is_killed_goes_on_where_it_stopped(plan_of, zoo, store, hooks, listener):
    class Killer:
        @hookimpl
        def dmlbench_trial_finished(self):
            raise KeyboardInterrupt

    site = WorkerSettings(store.folder, device="cpu")
    plan = plan_of(losses=(zoo("Pull"),), seeds=(0, 1, 2))
    killer = Killer()
    hooks.register(killer)
    with pytest.raises(KeyboardInterrupt):
        run(plan, site, hooks, Inline())
    assert ran(listener) == [plan.trials[0].id]
    hooks.unregister(killer)
    run(plan, site, hooks, Inline())
    assert ran(listener) == [trial.id for trial in plan.trials[1:]]


def test_a_hook_that_fails_steers_nothing(plan_of, zoo, store, hooks, listener):
    class Failing:
        @hookimpl(trylast=True)
        def dmlbench_epoch_finished(self):
            raise RuntimeError("deaf")

    hooks.register(Failing())
    plan = plan_of(losses=(zoo("Pull"),))
    with pytest.warns(
        UserWarning, match="The hook plugin Failing is switched off.*RuntimeError: deaf"
    ):
        (record,) = run(plan, WorkerSettings(store.folder, device="cpu"), hooks, Inline())
    assert record.status == "finished"
    assert listener.heard[-1] == ("run finished", [record.id])


@pytest.mark.slow
def test_workers_end_with_the_run_that_is_interrupted(plan_of, zoo, store, hooks):
    class Interrupting:
        @hookimpl
        def dmlbench_trial_started(self):
            raise KeyboardInterrupt

    hooks.register(Interrupting())
    plan = plan_of(losses=(zoo("Pull"),), seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):
        run(plan, WorkerSettings(store.folder, device="cpu"), hooks, Local(jobs=1))
    assert workers() == set()


def test_a_disk_that_is_full_fails_a_trial_and_loses_no_other(
    plan_of, zoo, store, hooks, monkeypatch
):
    import errno
    import os

    plan = plan_of(losses=(zoo("Pull"),), seeds=(0, 1, 2))
    fsync, calls = os.fsync, iter(range(9))

    def full_once(handle: int) -> None:
        if next(calls) in (1, 2):  # when the worker writes, and when the run does
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full_once)
    records = run(plan, WorkerSettings(store.folder, device="cpu"), hooks, Inline())
    assert [record.status for record in records] == ["finished", "failed", "finished"]
    assert "No space left on device" in records[1].reason
    assert [trial.seed for trial in progress(plan, store).to_do] == [1]
    assert len(list(store.folder.rglob("*"))) == 4  # two folders, two records


@pytest.mark.slow
def test_workers_tell_the_same_hooks(plan_of, zoo, store, hooks, listener):
    plan = plan_of(losses=(zoo("Pull"), zoo("Vanishing")))
    records = run(plan, WorkerSettings(store.folder, device="cpu"), hooks, Local(jobs=2))
    assert [record.status for record in records] == ["finished", "failed"]
    assert listener.heard[0] == ("run started", 2)
    assert listener.heard[-1] == ("run finished", [trial.id for trial in plan.trials])
    good, bad = (
        [event[0] for event in listener.heard if event[1] == trial.id] for trial in plan.trials
    )
    assert good == ["trial started", *["epoch finished"] * 3, "trial finished"]
    assert bad == ["trial started", "epoch finished", "trial finished"]


def test_an_empty_plan_is_a_run_too(store, hooks, listener):
    assert run(Plan(()), WorkerSettings(store.folder, device="cpu"), hooks, Inline()) == []
    assert listener.heard == [("run started", 0), ("run finished", [])]


class Elsewhere(Executor):
    """Runs trials where no folder is shared, but for those that it loses."""

    def __init__(self, folder, lose=()):
        self.folder = folder
        self.lose = lose

    def run(self, task, trials, settings):
        for trial in trials:
            if trial in self.lose:
                yield Event("lost", trial, reason="the node was taken away")
            else:
                yield task(trial, replace(settings, records=self.folder), lambda event: None)

    def stop(self, grace): ...

    def cancel(self, trial): ...


def test_a_record_from_where_no_folder_is_shared_is_written_here(plan_of, zoo, store, hooks):
    plan = plan_of(losses=(zoo("Pull"), zoo("Raising")))
    settings = WorkerSettings(store.folder, device="cpu")
    store.write(run(plan, settings, hooks, Elsewhere(store.folder, plan.trials))[0])
    records = run(plan, settings, hooks, Elsewhere(store.folder.parent / "elsewhere"))
    assert [record.status for record in records] == ["finished", "failed"]
    for record in records:
        assert store.read(record.trial).to_json() == record.to_json()


def test_a_lost_trial_fails_with_the_reason_unless_its_record_was_written(
    plan_of, zoo, store, hooks
):
    settings = WorkerSettings(store.folder, device="cpu")
    plan = plan_of(losses=(zoo("Pull"),), seeds=(0, 1))
    (record,) = run(Plan(plan.trials[:1]), settings, hooks, Inline())

    class LosingLate(Elsewhere):
        def run(self, task, trials, settings):
            store.write(record)
            return super().run(task, trials, settings)

    store.path(plan.trials[0]).unlink()
    first, second = run(plan, settings, hooks, LosingLate(store.folder, plan.trials))
    assert first.to_json() == record.to_json()
    assert (second.status, second.reason) == ("failed", "the node was taken away")
    assert store.read(second.trial).reason == second.reason


def test_an_executor_that_fails_is_named(plan_of, zoo, store, hooks):
    class Bankrupt(Elsewhere):
        def run(self, task, trials, settings):
            raise KeyError("account")

    with pytest.raises(PluginError, match="The executor Bankrupt failed: KeyError: 'account'"):
        run(plan_of(losses=(zoo("Pull"),)), WorkerSettings(store.folder), hooks, Bankrupt(""))


class Preempted(Inline):
    """The machine of each trial goes away once, and the trial's claim stays behind."""

    def run(self, task, trials, settings):
        trial = next(trials)
        assert Claims(settings.records).take(trial.id, settings.run)
        yield Event("interrupted", trial, reason="The node died.")
        yield from super().run(task, trials, settings)


def test_an_interrupted_trial_is_given_out_once_more(plan_of, zoo, store, hooks, listener):
    plan = plan_of(losses=(zoo("Pull"),), seeds=(0, 1))
    records = run(plan, WorkerSettings(store.folder, device="cpu"), hooks, Preempted())
    assert [record.status for record in records] == ["finished"] * 2
    ends = [event[1] for event in listener.heard if event[0] == "trial finished"]
    assert ends == [plan.trials[1].id, plan.trials[0].id]


def test_trials_that_an_executor_leaves_have_no_record(plan_of, zoo, store, hooks, listener):
    executor = Inline()
    executor.stop(grace=0)
    plan = plan_of(losses=(zoo("Pull"),))
    assert run(plan, WorkerSettings(store.folder, device="cpu"), hooks, executor) == []
    assert listener.heard == [("run started", 1), ("run finished", [])]


def test_what_a_worker_is_doing_reaches_the_hooks(plan_of, zoo, store, hooks):
    told = []

    class Ear:
        @hookimpl
        def dmlbench_trial_progressed(self, trial, doing):
            told.append((trial.id, doing.phase))

    hooks.register(Ear())
    plan = plan_of(losses=(zoo("Pull"),))
    settings = WorkerSettings(store.folder, device="cpu")
    run(plan, settings, hooks, Local(jobs=1))
    (trial,) = plan.trials
    first = list(dict.fromkeys(told))
    assert first == [(trial.id, p) for p in ("loading", "training", "validation", "test")]


def test_trials_are_drawn_in_the_order_asked_for_and_records_keep_that_of_the_plan(
    plan_of, zoo, store, hooks, listener
):
    plan = plan_of(losses=(zoo("Pull"), zoo("Raising")))
    settings = WorkerSettings(store.folder, device="cpu")
    backwards = lambda trials: tuple(reversed(trials))  # noqa: E731
    records = run(plan, settings, hooks, Inline(), order=backwards)
    ids = [trial.id for trial in plan.trials]
    assert [record.id for record in records] == ids
    assert ran(listener) == ids[::-1]
