"""Trials in worker processes that are stopped or killed, and go on in another process."""

import os
import signal
from dataclasses import replace

import pytest
from support.processes import needs_proc, wait_until, workers

from dmlbench import WorkerSettings
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.executors.inline import Inline
from dmlbench.executors.local import Local
from dmlbench.executors.run import run
from dmlbench.executors.worker import run_in_worker
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record
from dmlbench.storage.record_store import Store

EPOCHS = 6


@pytest.fixture
def trial(trial_of, zoo):
    settings = {"protocol.length.epochs": str(EPOCHS), "protocol.length.steps_per_epoch": "40"}
    return trial_of(losses=(zoo("Proxies"),), settings=settings)


@pytest.fixture
def settings(tmp_path) -> WorkerSettings:
    return WorkerSettings(tmp_path / "runs", device="cpu", checkpoint_seconds=1e-3)


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def run_through(trial, settings: WorkerSettings, folder) -> Record:
    hooks = empty_manager()
    (record,) = run(Plan((trial,)), replace(settings, records=folder), hooks, Inline())
    return record


def events_until(epoch, executor, trial, settings, act) -> list:
    """Run a trial and call `act` when an epoch is over; return its events."""
    events = []
    for event in executor.run(run_in_worker, iter([trial]), settings):
        events.append(event)
        if event.epoch and event.epoch.epoch == epoch:
            act()
    return events


@needs_proc
@pytest.mark.slow  # each worker imports torch
@pytest.mark.parametrize("how", ["stop", "SIGTERM to the worker", "SIGKILL of the worker"])
def test_a_worker_that_ends_at_a_trial_leaves_a_checkpoint_for_the_next(
    trial, settings, tmp_path, how
):
    whole = run_through(trial, settings, tmp_path / "whole")
    executor, path = Local(jobs=1), Store(settings.records).checkpoint_path(trial)

    def act() -> None:
        if how == "stop":
            executor.stop(60)
            return
        wait_until(path.exists)
        (worker,) = workers()
        os.kill(worker, signal.SIGTERM if "TERM" in how else signal.SIGKILL)

    events = events_until(1, executor, trial, settings, act)
    assert events[-1].kind == ("stopped" if how == "stop" else "lost")
    assert not list(settings.records.rglob("*.json"))
    assert path.exists()
    last_told = max(event.epoch.epoch for event in events if event.epoch)
    assert last_told < EPOCHS

    (record,) = run(Plan((trial,)), settings, empty_manager(), Local(jobs=1))
    assert record.measurements["resumed"] == 1
    assert without_measurements(record) == without_measurements(whole)
    assert [each.suffix for each in path.parent.iterdir()] == [".json"]
    assert workers() == set()


def test_a_trial_in_this_process_stops_at_a_step_and_goes_on(trial, settings, tmp_path):
    whole = run_through(trial, settings, tmp_path / "whole")
    executor, asked = Inline(), iter(range(100))
    is_stopping = executor._is_stopping

    def stop_in_the_third_epoch() -> bool:
        if next(asked, None) is None:
            executor.stop(60)
        return is_stopping()

    executor._is_stopping = stop_in_the_third_epoch
    kinds = [event.kind for event in executor.run(run_in_worker, iter([trial, trial]), settings)]
    assert kinds == ["started", *["epoch"] * 3, "stopped"]
    events = list(Inline().run(run_in_worker, iter([trial]), settings))
    assert [event.kind for event in events] == ["started", *["epoch"] * 7, "finished"]
    assert events[-1].record.measurements["resumed"] == 1
    assert without_measurements(events[-1].record) == without_measurements(whole)
    assert not Store(settings.records).checkpoint_path(trial).exists()


def test_a_trial_that_is_stopped_is_no_failure(trial, settings):
    executor = Inline()
    executor._is_stopping = lambda: True  # type: ignore[method-assign]
    records = run(Plan((trial,)), settings, empty_manager(), executor)
    assert records == []
    assert not list(settings.records.rglob("*.json"))


def test_what_failed_starts_anew(trial_of, zoo, settings):
    trial = trial_of(losses=(zoo("Raising"),))
    (record,) = run(Plan((trial,)), settings, empty_manager(), Inline())
    assert record.status == "failed"
    assert not Store(settings.records).checkpoint_path(trial).exists()
