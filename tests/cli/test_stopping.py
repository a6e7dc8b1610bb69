"""Signals and closed outputs: what is under way is saved, what is finished is in the tables."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dmlbench.compute.signals import ENDING

SIGNALLING = """
import signal
from dmlbench import Loss

class Signalling(Loss):
    "Sends its process signals, after as many steps as there are in the first trial and one."
    takes, steps = "labels", 0
    signals = ({signals})

    def forward(self, pairs, selection):
        Signalling.steps += 1
        if Signalling.steps == 4:
            for number in self.signals:
                signal.raise_signal(number)
        return pairs.anchors.square().mean()
"""


@pytest.fixture
def request_with(tiny, tmp_path):
    """Return a request for two seeds of a loss; in the second, `signals` come."""

    def request(*signals: int) -> tuple[str, ...]:
        path = tmp_path / "signalling.py"
        path.write_text(SIGNALLING.format(signals="".join(f"{int(each)}, " for each in signals)))
        return (
            *("run", "--dataset", "digits-closed", "--protocol", str(tiny), "--jobs", "0"),
            *("--loss", f"{path}:Signalling", "--baseline", "none", "--seeds", "2"),
            *("--set", "protocol.length.steps_per_epoch=3"),
        )

    return request


def files(folder: Path, suffix: str) -> list[Path]:
    return [path for path in folder.rglob(f"*{suffix}") if path.is_file()]


def test_a_signal_saves_the_trial_and_writes_tables_of_the_rest(dmlbench, request_with, tmp_path):
    before = [signal.getsignal(each) for each in ENDING]
    found = dmlbench(*request_with(signal.SIGTERM))
    assert found.code == 143, found.err
    assert "dmlbench: stopped with 1 trial to run. The same command goes on" in found.err
    assert len(files(tmp_path / "runs", ".json")) == 1
    assert len(files(tmp_path / "runs", ".checkpoint")) == 1
    assert len(files(tmp_path / "leaderboards", ".md")) >= 1
    assert [signal.getsignal(each) for each in ENDING] == before

    assert dmlbench(*request_with(signal.SIGTERM)).code == 0  # the loss has had its signals
    assert len(files(tmp_path / "runs", ".json")) == 2
    assert files(tmp_path / "runs", ".checkpoint") == []


def test_the_second_signal_ends_the_run_at_once(dmlbench, request_with, tmp_path):
    found = dmlbench(*request_with(signal.SIGTERM, signal.SIGINT))
    assert found.code == 143
    assert "dmlbench: stopped. Run the same command again to continue." in found.err
    assert len(files(tmp_path / "runs", ".json")) == 1
    assert files(tmp_path, ".md") == []


def test_a_run_whose_output_nobody_reads_ends_with_a_word(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = ("run", "--dataset", "digits-closed", "--loss", "triplet", "--seeds", "1")
    done = subprocess.run(
        [sys.executable, "-m", "dmlbench", *command, "--jobs", "0"],
        cwd=tmp_path,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr.strip().startswith("dmlbench: stopped, as nobody reads its output any more.")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_log_that_nobody_reads_stops_the_run(monkeypatch, capsys):
    import click

    from dmlbench.cli.epoch_log import EpochLog

    def closed(line: str) -> None:
        raise BrokenPipeError

    asked = []
    monkeypatch.setattr(click, "echo", closed)
    EpochLog(lambda: asked.append(1))._print("a line")
    assert asked == [1]
