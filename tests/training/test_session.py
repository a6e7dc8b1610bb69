"""What a session does with a checkpoint that it can't use, and with what it can't save."""

import errno
import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.errors import TrialStoppedError
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.checkpoints import read_checkpoint, write_checkpoint
from dmlbench.training import session as sessions
from dmlbench.training.session import Session
from dmlbench.trials.run_trial import run_trial

REMEMBERING = """
from collections import deque
import torch
from dmlbench import Loss, Miner, PairMask, Sampler, as_pair_mask, masked_mean

class Pull(Loss):
    "Pulls together."
    takes, default_miner = "pairs", "all-pairs"
    def forward(self, pairs, selection):
        chosen = as_pair_mask(selection, pairs)
        return masked_mean(pairs.distance, chosen.positive)

class Growing(Pull):
    "Has a buffer that grows."
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(0))
    def forward(self, pairs, selection):
        self.seen = torch.cat([self.seen, pairs.anchors[0].detach()])
        return super().forward(pairs, selection)

class Counting(Pull):
    "Counts steps in secret."
    steps = 0
    def forward(self, pairs, selection):
        self.steps += 1
        return super().forward(pairs, selection) / self.steps

class Queueing(Pull):
    "Keeps values in a queue."
    def __init__(self):
        super().__init__()
        self.values = deque(maxlen=2)
    def forward(self, pairs, selection):
        value = super().forward(pairs, selection)
        self.values.append(value.item())
        return value * (1 + sum(self.values))

class Saying(Queueing):
    "Keeps values in a queue, and says so."
    def get_extra_state(self):
        return list(self.values)
    def set_extra_state(self, state):
        self.values.extend(state)

class Stricter(Miner):
    "Takes fewer positives each step."
    makes = "pairs"
    def __init__(self):
        self.least = 0.0
    def select(self, pairs):
        self.least += 0.1
        return PairMask(pairs.positive & (pairs.distance >= self.least), pairs.negative)

class StricterSaying(Stricter):
    "Takes fewer positives each step, and says so."
    def state_dict(self):
        return {"least": self.least}
    def load_state_dict(self, state):
        self.least = state["least"]
"""


@pytest.fixture(scope="module")
def workplace() -> Workplace:
    return Workplace(Catalogue.discover(), None, torch.device("cpu"))


@pytest.fixture(autouse=True)
def as_often_as_asked(monkeypatch):
    monkeypatch.setattr(sessions, "_WRITES_PER_TIME", 0)


@pytest.fixture
def remembering(tmp_path):
    path = tmp_path / "remembering.py"
    path.write_text(REMEMBERING)
    return lambda name: f"{path}:{name}"


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def stopped_after(asks: int, trial: Trial, workplace: Workplace, path: Path) -> list[str]:
    """Run a trial until its session was asked so often whether to stop; return what it said."""
    asked, said = iter(range(asks)), []
    with pytest.raises(TrialStoppedError):
        run_trial(
            trial,
            workplace,
            session=Session(path, stop=lambda: next(asked, None) is None, say=said.append),
        )
    return said


def run_on(trial: Trial, workplace: Workplace, path: Path) -> tuple[Record, list[str]]:
    said: list[str] = []
    return run_trial(trial, workplace, session=Session(path, say=said.append)), said


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "one.checkpoint"


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def from_another_torch(path: Path) -> None:
    key, content = read_checkpoint(path)
    key["settings"]["torch"] = "1.0"
    write_checkpoint(path, key, content)


def from_another_format(path: Path) -> None:
    key, content = read_checkpoint(path)
    write_checkpoint(path, key | {"format": 0}, content)


def of_another_trial(path: Path) -> None:
    key, content = read_checkpoint(path)
    write_checkpoint(path, key | {"trial": "0" * 16}, content)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (damage, "one.checkpoint is damaged: "),
        (from_another_torch, "was made elsewhere: torch 1.0 there, "),
        (from_another_format, "was made elsewhere: format 0 there, 1 here. "),
        (of_another_trial, "was made elsewhere: trial 0000000000000000 there, "),
    ],
)
def test_a_checkpoint_that_is_not_of_this_trial_here_is_left_with_a_word(
    trial_of, zoo, workplace, path, change, reason
):
    trial = trial_of(losses=(zoo("Proxies"),))
    whole = run_trial(trial, workplace)
    assert stopped_after(3, trial, workplace, path) == []
    change(path)
    record, said = run_on(trial, workplace, path)
    assert len(said) == 1
    assert reason in said[0]
    assert said[0].endswith(" The trial starts anew.")
    assert record.measurements["resumed"] == 0
    assert without_measurements(record) == without_measurements(whole)


def test_a_state_that_does_not_load_is_left_with_a_word(trial_of, workplace, path, remembering):
    trial = trial_of(losses=(remembering("Growing"),))
    assert stopped_after(3, trial, workplace, path) == []
    record, said = run_on(trial, workplace, path)
    assert record.status == "finished", record.reason
    assert "does not fit: RuntimeError: " in said[0]
    assert said[0].endswith("The trial starts anew.")
    assert without_measurements(record) == without_measurements(run_trial(trial, workplace))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"losses": "Counting"}, "steps of the loss Counting"),
        ({"losses": "Queueing"}, "values of the loss Queueing"),
        ({"losses": "Pull", "miners": "Stricter"}, "least of the miner 1 Stricter"),
    ],
)
def test_what_remembers_in_secret_keeps_no_checkpoint_and_says_so(
    trial_of, workplace, path, remembering, row, what
):
    trial = trial_of(**{kind: (remembering(name),) for kind, name in row.items()})
    (said,) = stopped_after(3, trial, workplace, path)
    assert f"the attribute {what} changes in training" in said
    assert not path.exists()
    record, _ = run_on(trial, workplace, path)
    assert without_measurements(record) == without_measurements(run_trial(trial, workplace))


@pytest.mark.parametrize(
    "row", [{"losses": "Saying"}, {"losses": "Pull", "miners": "StricterSaying"}]
)
def test_what_says_what_it_remembers_goes_on(trial_of, workplace, path, remembering, row):
    trial = trial_of(**{kind: (remembering(name),) for kind, name in row.items()})
    whole = run_trial(trial, workplace)
    assert stopped_after(3, trial, workplace, path) == []
    record, said = run_on(trial, workplace, path)
    assert said == []
    assert record.measurements["resumed"] == 1
    assert without_measurements(record) == without_measurements(whole)


def test_a_full_disk_costs_a_checkpoint_and_no_trial(trial_of, zoo, workplace, path, monkeypatch):
    trial = trial_of(losses=(zoo("Proxies"),))
    assert stopped_after(3, trial, workplace, path) == []
    before, said = path.read_bytes(), []

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        session = Session(path, every=0, say=said.append)
        record = run_trial(trial, workplace, session=session)
    assert record.status == "finished"
    assert "can't be written: No space left on device. The trial goes on." in said[0]
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.glob("*check*")] == [path.name]


def test_checkpoints_are_no_more_often_than_one_percent_of_the_time_allows(path, monkeypatch):
    now, writes = [0.0], []

    def write(*_: object) -> None:
        writes.append(now[0])
        now[0] += 2

    monkeypatch.setattr(sessions, "_WRITES_PER_TIME", 100)
    monkeypatch.setattr(sessions, "write_checkpoint", write)
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now[0])
    session = Session(path, every=60)
    session.open({})
    for _ in range(1000):
        session.pause()
        now[0] += 1
    assert writes[0] == 60
    assert [later - one for one, later in pairwise(writes)] == [202] * 4
