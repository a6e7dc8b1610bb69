"""Small versions of what the scripts do at length: runs that are killed, runs side by side."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import needs_proc

ROOT = Path(__file__).parents[2]


def run(*command: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@needs_proc
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_that_are_killed_lose_nothing_and_leave_nothing_behind():
    said = run("benchmarks.kills", "--kills=8", "--per-grid=4", "--seeds=3", "--command-line=0")
    assert "8 kills" in said
    assert "0 faults" in said


@needs_proc
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_runs_at_one_time_run_each_trial_once():
    said = run("benchmarks.together", "--drivers=3", "--seeds=3")
    assert "12 starts" in said
    assert "0 faults" in said
