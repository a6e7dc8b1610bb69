"""Trials in this process, one after the other."""

from dmlbench.contracts.executor import WorkerSettings
from dmlbench.executors.inline import run_inline
from dmlbench.storage.record_store import Store


def test_events_come_in_order_and_records_are_on_disk_when_they_are_told(plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo("Pull"), zoo("Raising")), baselines=("pixels",)).trials
    store = Store(tmp_path / "runs")
    told = []
    for event in run_inline(trials, WorkerSettings(store.folder, device="cpu")):
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
        event.record
        for event in run_inline(trials, WorkerSettings(tmp_path / "runs", device="cpu"))
        if event.record
    ]
    assert [record.status for record in records] == ["failed"] * 3 + ["finished"]
    assert len(list((tmp_path / "runs").rglob("*.json"))) == 4


def test_no_trials_are_no_events(tmp_path):
    assert list(run_inline((), WorkerSettings(tmp_path, device="cpu"))) == []
