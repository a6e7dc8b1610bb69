"""Trials in this process, one after the other."""

import threading

from dmlbench import Event, WorkerSettings
from dmlbench.executors.inline import Inline
from dmlbench.executors.worker import run_in_worker
from dmlbench.storage.record_store import Store


def events_of(executor, trials, folder):
    return executor.run(run_in_worker, iter(trials), WorkerSettings(folder, device="cpu"))


def test_events_come_in_order_and_records_are_on_disk_when_they_are_told(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("Pull"), zoo("Raising")), baselines=("pixels",)).trials
    store = Store(tmp_path / "runs")
    told = []
    for event in events_of(Inline(), trials, store.folder):
        told.append((event.kind, event.trial.id))
        if event.kind == "finished":
            assert store.read(event.trial).to_json() == event.record.to_json()
    pull, raising, pixels = (trial.id for trial in trials)
    assert told == [
        ("started", pull),
        *[("epoch", pull)] * 3,
        ("finished", pull),
        ("started", raising),
        ("epoch", raising),
        ("finished", raising),
        ("started", pixels),
        ("epoch", pixels),
        ("finished", pixels),
    ]


def test_a_trial_that_fails_harms_no_other(plan_of, zoo, tmp_path):
    names = ("Raising", "Exiting", "NotANumber", "Pull")
    trials = plan_of(losses=tuple(zoo(name) for name in names)).trials
    records = [
        event.record for event in events_of(Inline(), trials, tmp_path / "runs") if event.record
    ]
    assert [record.status for record in records] == ["failed"] * 3 + ["finished"]
    assert len(list((tmp_path / "runs").rglob("*.json"))) == 4


def test_no_trials_are_no_events(tmp_path):
    assert list(events_of(Inline(), (), tmp_path)) == []


def test_a_trial_is_cancelled_at_the_end_of_an_epoch(plan_of, zoo, tmp_path):
    settings = {"protocol.length.epochs": "1000000"}  # it would take days
    long, short = plan_of(losses=(zoo("Pull"),), seeds=(0, 1), settings=settings).trials
    executor = Inline()
    threading.Timer(0.5, executor.cancel, [long]).start()
    for event in events_of(executor, (long, short), tmp_path):
        if event.kind == "lost":
            assert event == Event("lost", long, reason="cancelled")
            threading.Timer(0.5, executor.stop, [0]).start()
    assert event.trial == short
    assert not list(tmp_path.rglob("*.json"))
