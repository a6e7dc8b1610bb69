"""What a user is told of other runs that share the work."""

from support.made_records import record

from dmlbench.api.progress import ProgressDisplay
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
