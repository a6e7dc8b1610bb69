"""What a few steps tell of a trial."""

import numpy as np
import pytest
import torch

from dmlbench import ConfigError
from dmlbench.api.running import plan
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.contracts.executor import WorkerSettings
from dmlbench.executors import probe as probing
from dmlbench.executors.inline import Inline
from dmlbench.executors.probe import probe_rows
from dmlbench.planning.measured import row_of
from dmlbench.training.learner_state import State
from dmlbench.trials import probe as module
from dmlbench.trials.probe import probe

CPU = torch.device("cpu")


class Counter:
    """A clock that stands still but for what it counts: some seconds a step, one an item."""

    def __init__(self, device=CPU):
        self.now = 0.0

    def read(self):
        return self.now

    def seconds(self, act):
        before = self.now
        act()
        return self.now - before


@pytest.mark.parametrize("step", [3, 3600])
def test_the_parts_of_a_trial_are_counted_as_often_as_it_does_them(step, monkeypatch):
    """Against the trial's own numbers, by a clock that only steps and embedded items move."""
    clock = Counter()
    monkeypatch.setattr(module, "_Watch", lambda device: clock)

    def learning(trial, workplace, items, session=None):
        def embed(some):
            clock.now += len(some)
            return np.ones((len(some), 4), dtype=np.float32)

        yield State(0, None, embed)
        for epoch in range(1, trial.protocol.length.epochs + 1):
            clock.now += 1e9  # what a sampler does at the start of an epoch
            for _ in range(trial.protocol.length.steps_per_epoch):  # two at least
                clock.now += step
                session.pause()
            yield State(epoch, 0.0, embed)

    monkeypatch.setattr(module, "learn", learning)
    planned = plan("digits-closed", losses="triplet", baselines="none", seeds=1)
    (trial,) = planned.trials
    (taken,) = planned.workloads.values()
    found = probe(trial, Workplace(Catalogue.discover(), None, CPU))
    length = trial.protocol.length
    expected = length.epochs * (1e9 + length.steps_per_epoch * step)
    expected += taken.measured + taken.tested
    assert found["seconds"] == pytest.approx(expected)


def test_one_trial_of_each_row_is_timed_and_nothing_is_kept(tmp_path):
    planned = plan("iris", losses="triplet", baselines="pixels", seeds=3)
    settings = WorkerSettings(tmp_path, device="cpu")
    found, reasons = probe_rows(planned.trials, settings, Inline())
    assert set(found) == {row_of(trial) for trial in planned.trials}
    assert len(found) == 2
    assert not reasons
    assert all(told.seconds > 0 for told in found.values())
    assert not list(tmp_path.iterdir())


def test_a_row_that_cannot_be_timed_is_named_with_the_reason(tmp_path, monkeypatch):
    def refuse(trial, workplace):
        raise ConfigError("There is no such network.")

    monkeypatch.setattr(module, "probe", refuse)
    planned = plan("iris", losses="triplet", baselines="none", seeds=1)
    settings = WorkerSettings(tmp_path, device="cpu")
    found, reasons = probe_rows(planned.trials, settings, Inline())
    assert found == {}
    assert reasons == [f"{planned.trials[0]}: There is no such network."]


def test_no_row_is_begun_after_the_time_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(probing, "LONGEST_SECONDS", -1.0)
    planned = plan("iris", losses="triplet", seeds=1)
    assert probe_rows(planned.trials, WorkerSettings(tmp_path), Inline()) == ({}, [])
