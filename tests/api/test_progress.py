"""What a user is told while trials run, here and in other runs that share the work."""

import threading

import pytest
from support.made_records import record

from dmlbench import Doing
from dmlbench.api import progress
from dmlbench.api.progress import ProgressDisplay, decoding_display, run_display
from dmlbench.cli import epoch_log
from dmlbench.cli.epoch_log import EpochLog
from dmlbench.executors.sharing import OtherRuns


def test_the_trials_of_other_runs_are_told_and_counted(capsys):
    display = ProgressDisplay(3)
    display.dmlbench_run_started()
    display.show_others(OtherRuns(2))
    assert capsys.readouterr().err == "2 trials are under way in another run\n"
    failure = record(seed=1, status="failed", reason="no memory")
    display.show_others(OtherRuns(1, (record(seed=0), failure)))
    assert "no memory" in capsys.readouterr().err
    display.dmlbench_trial_finished(record(seed=2).trial, record(seed=2))
    assert display.finished == 3
    assert capsys.readouterr().err == "3 of 3 trials\n"


@pytest.fixture
def impatient(monkeypatch):
    """A minute is over at once."""
    for module in (progress, epoch_log):
        monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.0)


def test_a_log_says_what_each_trial_is_doing_though_nothing_else_happens(impatient, monkeypatch):
    trial, lines, said = record().trial, [], threading.Event()
    with run_display(3) as display:

        def note(text, **options):
            lines.append(text)
            if "2,048" in text:
                said.set()

        monkeypatch.setattr(display.console, "print", note)
        display.dmlbench_run_started()
        display.dmlbench_trial_started(trial)
        display.dmlbench_trial_progressed(trial, Doing("features", 2048, 6033))
        assert said.wait(60)
    assert f"0 of 3 trials; {trial}: features 2,048 of 6,033" in lines
    count = len(lines)
    assert not display._writer.is_alive()
    assert len(lines) == count


def test_the_log_of_epochs_says_what_a_long_one_is_doing(impatient, capsys):
    trial = record().trial
    EpochLog().dmlbench_trial_progressed(trial=trial, doing=Doing("training", 7, 80, "steps"))
    assert capsys.readouterr().out == f"{trial}: training 7 of 80 steps\n"


def test_decoding_is_told_in_a_log(impatient, capsys):
    with decoding_display() as show:
        show(2048, 6033)
        show(6033, 6033)
    assert capsys.readouterr().err.splitlines() == [
        "decoding photos, once: 2,048 of 6,033",
        "6033 photos decoded",
    ]
