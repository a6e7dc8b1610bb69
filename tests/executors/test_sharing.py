"""Runs that work on one folder of records at one time."""

from dataclasses import replace

import pluggy
import pytest

from dmlbench import Event, Executor, WorkerSettings, hookimpl
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.executors import sharing
from dmlbench.executors.inline import Inline
from dmlbench.executors.run import run
from dmlbench.executors.worker import run_in_worker
from dmlbench.schemas.record import Record
from dmlbench.storage.claims import Claims
from dmlbench.storage.owners import Owner
from dmlbench.storage.record_store import Store


class Starts:
    """Notes the trials that start here, and calls `then` when one has finished."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.then = lambda: None

    @hookimpl
    def dmlbench_trial_started(self, trial):
        self.seeds.append(trial.seed)

    @hookimpl
    def dmlbench_trial_finished(self):
        self.then()


@pytest.fixture
def starts() -> Starts:
    return Starts()


@pytest.fixture
def hooks(starts) -> pluggy.PluginManager:
    manager = empty_manager()
    manager.register(starts)
    return manager


@pytest.fixture
def settings(tmp_path) -> WorkerSettings:
    return WorkerSettings(tmp_path / "runs", device="cpu")


@pytest.fixture
def store(settings) -> Store:
    return Store(settings.records)


@pytest.fixture
def claims(settings) -> Claims:
    return Claims(settings.records)


@pytest.fixture
def plan(plan_of, zoo):
    return plan_of(losses=(zoo("Pull"),), seeds=(0, 1, 2))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(sharing, "_LOOK_SECONDS", 0.01)


def bare(records: list[Record]) -> list[str]:
    return [record.model_copy(update={"measurements": {}}).to_json() for record in records]


def test_a_trial_that_another_run_is_at_is_left_to_it_and_its_record_read(
    plan, settings, store, claims, hooks, starts, tmp_path
):
    alone = run(plan, replace(settings, records=tmp_path / "alone"), hooks, Inline())
    starts.seeds.clear()
    news, other = [], claims.take(plan.trials[0].id)

    def finish_elsewhere():
        if starts.seeds == [1, 2]:
            store.write(alone[0])
            other.give_back()

    def hear(others):
        news.append((others.under_way, [record.trial.seed for record in others.records]))

    starts.then = finish_elsewhere
    records = run(plan, settings, hooks, Inline(), hear)
    assert starts.seeds == [1, 2]
    assert bare(records) == bare(alone)
    assert news[0] == (1, [])
    assert news[-1] == (0, [0])
    assert not claims.folder.exists()


def test_a_trial_that_another_run_gave_up_is_run_here(plan, settings, claims, hooks, starts):
    starts.then = claims.take(plan.trials[0].id).give_back
    records = run(plan, settings, hooks, Inline())
    assert sorted(starts.seeds) == [0, 1, 2]
    assert [record.status for record in records] == ["finished"] * 3


def test_a_trial_whose_holder_died_is_run_here(plan, settings, claims, hooks, starts):
    dead = replace(Owner.new(), started=1)  # a process of our number, before us
    place = claims.folder / plan.trials[0].id
    place.mkdir(parents=True)
    (place / str(dead)).touch()
    run(plan, settings, hooks, Inline())
    assert starts.seeds == [0, 1, 2]
    assert not claims.folder.exists()


def test_what_another_run_finishes_meanwhile_is_not_run_again(
    plan, settings, store, hooks, starts, tmp_path
):
    others = run(plan, replace(settings, records=tmp_path / "others"), hooks, Inline())
    starts.seeds.clear()
    starts.then = lambda: store.write(others[1])
    records = run(plan, settings, hooks, Inline())
    assert starts.seeds == [0, 2]
    assert records[1].to_json() == others[1].to_json()


def test_a_failure_of_a_run_beside_is_not_tried_again_but_later_is(
    plan, settings, store, claims, hooks, starts
):
    first = plan.trials[0]
    failure = Record(id=first.id, trial=first, status="failed", reason="no memory")
    with claims.run() as other:
        store.write(failure)
        claims.tell_failure(first.id, other)
        records = run(plan, settings, hooks, Inline())
        assert starts.seeds == [1, 2]
        assert records[0].reason == "no memory"
    run(plan, settings, hooks, Inline())
    assert starts.seeds == [1, 2, 0]


def test_a_worker_leaves_alone_what_somebody_took_since_it_was_drawn(plan, settings, claims):
    told: list[Event] = []
    with claims.run() as run_name:
        settings = replace(settings, run=run_name)
        for trial in plan.trials[:2]:
            with claims.take(trial.id):
                event = run_in_worker(trial, settings, told.append)
                assert (event.kind, event.record) == ("finished", None)
        assert told == []
        event = run_in_worker(plan.trials[0], settings, told.append)
        assert event.record.status == "finished"
        assert claims.holder(plan.trials[0].id) is None
        assert run_in_worker(plan.trials[0], settings, told.append).record is None


def test_a_worker_takes_the_claim_of_one_of_its_run_that_died_at_the_trial(plan, settings, claims):
    trial = plan.trials[0]
    with claims.run() as run_name:
        mine = replace(settings, run=run_name)
        left = claims.take(trial.id, run_name)  # a job is requeued after its process was killed
        event = run_in_worker(trial, mine, lambda event: None)
        assert event.record.status == "finished"
        assert not left.path.exists()


def test_a_run_that_is_stopped_waits_for_no_other(plan, settings, claims, hooks, starts):
    executor = Inline()
    with claims.take(plan.trials[0].id):
        records = run(plan, settings, hooks, executor, lambda others: executor.stop(0))
    assert len(records) < 3
    assert 0 not in starts.seeds


def test_trials_come_back_to_an_executor_that_asks_again(plan, settings, claims, hooks):
    class Asking(Executor):
        """Has two slots, and so asks while one trial is under way."""

        def run(self, task, trials, settings):
            drawn = [next(trials, None), next(trials, None), next(trials, None)]
            given_up = [trial for trial in drawn if trial is None]
            other.give_back()
            while given_up:
                given_up = [] if (late := next(trials, None)) else [None]
            for trial in [*drawn[:2], late]:
                yield task(trial, settings, lambda event: None)

        def stop(self, grace): ...

        def cancel(self, trial): ...

    other = claims.take(plan.trials[0].id)
    records = run(plan, settings, hooks, Asking())
    assert [record.status for record in records] == ["finished"] * 3


def test_without_claims_a_run_works_and_says_so(plan, settings, hooks, starts, monkeypatch):
    monkeypatch.setattr(Claims, "take", lambda self, name, run="": None)
    with pytest.warns(UserWarning, match="can't hold claims"):
        records = run(plan, settings, hooks, Inline())
    assert [record.status for record in records] == ["finished"] * 3
    assert starts.seeds == [0, 1, 2]
