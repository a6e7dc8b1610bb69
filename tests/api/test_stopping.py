"""Signals that stop a run: the first one in good order, the second one at once."""

import os
import signal
import threading

import pytest

from dmlbench.api import stopping as module
from dmlbench.api.stopping import GRACE_SECONDS, stopping
from dmlbench.compute.signals import ENDING, SignalledError


@pytest.fixture(autouse=True)
def _signals_are_not_ignored():
    """Have signals that end the program, though the tests may run in the background."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Noting:
    """An executor that notes how it is stopped."""

    def __init__(self) -> None:
        self.stops: list[float] = []

    def stop(self, grace: float) -> None:
        self.stops.append(grace)


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_stops_the_executor_and_the_second_one_everything(number):
    before, executor = [signal.getsignal(each) for each in ENDING], Noting()

    def run() -> None:
        with stopping(executor) as stop:
            assert stop.signal is None
            signal.raise_signal(number)
            assert (stop.signal, executor.stops) == (number, [GRACE_SECONDS])
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SignalledError) as raised:
        run()
    assert raised.value.number == number
    assert isinstance(raised.value, KeyboardInterrupt)
    assert [signal.getsignal(each) for each in ENDING] == before


def test_an_executor_that_does_not_stop_is_interrupted(monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_LAST_SECONDS", 0.0)

    def run() -> None:
        with stopping(Noting()):
            signal.raise_signal(signal.SIGHUP)
            threading.Event().wait(60)

    with pytest.raises(SignalledError) as raised:
        run()
    assert raised.value.number == signal.SIGHUP


def test_a_run_that_is_over_is_left_alone():
    with stopping(Noting()) as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop._timer.finished.is_set()


def test_signals_that_are_ignored_stay_ignored():
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stopping(Noting()) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_outside_the_main_thread_signals_are_left_alone():
    found = []

    def run() -> None:
        with stopping(Noting()) as stop:
            found.append(stop.signal)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [None]
