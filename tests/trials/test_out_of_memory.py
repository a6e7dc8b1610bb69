"""A card too full for photos and network: the photos leave, and the trial is tried once more."""

import pytest
import torch

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.data.batches import device_inputs
from dmlbench.trials import run_trial as module
from dmlbench.trials.run_trial import run_trial


@pytest.fixture
def workplace() -> Workplace:
    return Workplace(Catalogue.discover(), None, torch.device("cpu"))


@pytest.fixture
def full_until(monkeypatch):
    """Let the first trainings run out of memory after some epochs; say where photos had to stay."""

    def plant(epochs: list[int], *, resident: bool = True) -> list[bool]:
        stayed: list[bool] = []
        there = [resident]
        learn = module.learn

        def learn_or_fail(trial, workplace, items, session):
            stayed.append(device_inputs._stay_on_cpu.get())
            for state in learn(trial, workplace, items, session):
                if epochs and state.epoch == epochs[0] + 1:
                    epochs.pop(0)
                    raise torch.OutOfMemoryError("CUDA out of memory")
                yield state

        def drop() -> bool:
            return bool(there and there.pop())

        monkeypatch.setattr(module, "learn", learn_or_fail)
        monkeypatch.setattr(module, "drop_resident_photos", drop)
        return stayed

    return plant


def test_a_trial_that_does_not_fit_beside_its_photos_runs_without_them(
    trial_of, zoo, workplace, full_until
):
    trial = trial_of(losses=(zoo("Pull"),))
    plain = run_trial(trial, workplace)
    stayed, told = full_until([0]), []
    record = run_trial(trial, workplace, told.append)
    assert stayed == [False, True]
    assert [epoch.epoch for epoch in told] == [0, 1, 2]
    assert record.metrics == plain.metrics
    assert record.epochs == plain.epochs
    assert not device_inputs._stay_on_cpu.get()


@pytest.mark.parametrize(
    ("epochs", "resident", "trainings"),
    [([0, 0], True, 2), ([1], True, 1), ([0], False, 1)],
    ids=["again", "after the first epoch", "no photos there"],
)
def test_otherwise_it_fails_with_its_reason(
    trial_of, zoo, workplace, full_until, epochs, resident, trainings
):
    stayed = full_until(epochs, resident=resident)
    record = run_trial(trial_of(losses=(zoo("Pull"),)), workplace)
    assert record.status == "failed"
    assert "OutOfMemoryError: CUDA out of memory" in record.reason
    assert len(stayed) == trainings


def test_a_failed_trial_leaves_no_photos_behind(trial_of, zoo, workplace, monkeypatch):
    dropped = []
    monkeypatch.setattr(module, "drop_resident_photos", lambda: dropped.append(1))
    run_trial(trial_of(losses=(zoo("Pull"),)), workplace)
    assert not dropped

    def fails(*_):
        raise ValueError("planted")

    monkeypatch.setattr(module, "learn", fails)
    run_trial(trial_of(losses=(zoo("Pull"),)), workplace)
    assert dropped
