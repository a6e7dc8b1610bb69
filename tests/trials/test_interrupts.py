"""Ctrl-C, and plugins that raise what it raises."""

import signal
from contextlib import suppress

import pytest

from dmlbench import TrialEnded, WorkerSettings
from dmlbench.compute.signals import SignalledError, raise_signalled
from dmlbench.executors.inline import Inline
from dmlbench.executors.worker import run_in_worker
from dmlbench.trials.interrupts import interrupts_noted


def test_ctrl_c_is_noted_and_handled_as_before():
    before = signal.getsignal(signal.SIGINT)
    with interrupts_noted() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupts
    assert signal.getsignal(signal.SIGINT) == before


def test_a_second_signal_keeps_its_name():
    before = signal.signal(signal.SIGTERM, raise_signalled)
    try:
        with interrupts_noted() as interrupts, suppress(SignalledError):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [error.number for error in interrupts] == [signal.SIGTERM]


def test_a_plugin_that_raises_it_presses_nothing():
    with interrupts_noted() as interrupts, pytest.raises(KeyboardInterrupt):
        raise KeyboardInterrupt
    assert not interrupts


def test_what_handles_signals_without_raising_goes_on():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with interrupts_noted() as interrupts:
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (heard, interrupts) == ([signal.SIGINT], [])


@pytest.mark.parametrize("loss", ["Interrupted", "SwallowingAnInterrupt"])
def test_ctrl_c_stops_a_run_in_this_process(loss, plan_of, zoo, tmp_path):
    trials = plan_of(losses=(zoo(loss),), seeds=(0, 1)).trials
    settings = WorkerSettings(tmp_path / "runs", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        list(Inline().run(run_in_worker, iter(trials), settings))
    assert not list(tmp_path.rglob("*.json"))


def test_an_executor_ends_a_trial_from_outside(trial_of, zoo, tmp_path):
    def report(event):
        if event.kind == "epoch":
            raise TrialEnded

    settings = WorkerSettings(tmp_path / "runs", device="cpu")
    with pytest.raises(TrialEnded):
        run_in_worker(trial_of(losses=(zoo("Pull"),)), settings, report)
    assert not list(tmp_path.rglob("*.json"))
