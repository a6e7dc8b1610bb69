"""One trial on several devices, from the command to its record, when all goes well and when not."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.families import FAMILIES
from support.processes import is_running, wait_until

import dmlbench
from dmlbench import ConfigError
from dmlbench.contracts.executor import Event, WorkerSettings
from dmlbench.executors.group import device_of_rank
from dmlbench.executors.local import Local
from dmlbench.executors.worker import run_in_worker
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial

FILE = Path(__file__).parents[1] / "support" / "families.py"
VALIDATED = {"protocol.validation.min_classes": "4", "protocol.length.epochs": "3"}
LONG = {"protocol.length.epochs": "40", "backbone.dropout": "0.3"}


@pytest.fixture(autouse=True)
def where_the_backbone_is(monkeypatch):
    monkeypatch.chdir(FILE.parent)


def events(
    folder: Path,
    *trials: Trial,
    devices: int = 2,
    executor: Local | None = None,
    **options: float,
) -> Iterator[Event]:
    """Yield what happens to trials one after the other, each of them on several devices."""
    settings = WorkerSettings(folder, device="cpu", devices_per_trial=devices, **options)
    return (executor or Local(jobs=1)).run(run_in_worker, iter(trials), settings)


def records(happened: Iterator[Event]) -> list[Record]:
    ended = [event for event in happened if event.is_last]
    assert [event.reason for event in ended] == [""] * len(ended)
    return [event.record for event in ended]


def bare(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def ranks_of(worker: int) -> list[int]:
    return sorted(child.pid for child in psutil.Process(worker).children())


@pytest.mark.slow
def test_the_records_are_those_of_one_device_but_for_rounding_and_say_so(plan_of, tmp_path):
    asked = {"backbone": f"{FILE}:Grouped", "settings": VALIDATED}
    trials = [
        *plan_of(**FAMILIES["triplets, drawn by distance"], **asked).trials,
        *plan_of(losses=("magnet",), baselines=("pixels",), **asked).trials,
    ]
    alone = records(events(tmp_path / "alone", *trials, devices=1))
    together = records(events(tmp_path / "together", *trials, devices=3))
    for one, other in zip(together, alone, strict=True):
        assert (one.status, one.id) == ("finished", other.id)
        trained = {"devices": 3} if "loss" in one.trial.parts else {}
        assert one.settings == other.settings | trained
        assert one.selected_epoch == other.selected_epoch
        assert one.metrics == pytest.approx(other.metrics, abs=1e-6)
        assert one.details == other.details
        losses = [[epoch.loss for epoch in some.epochs[1:]] for some in (one, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        for mine, theirs in zip(one.epochs, other.epochs, strict=True):
            assert mine.validation == pytest.approx(theirs.validation, abs=1e-6)
    assert len([*(tmp_path / "together").rglob("*.json")]) == len(trials)


@pytest.mark.slow
def test_a_killed_process_ends_the_trial_with_a_reason_and_it_goes_on_from_its_checkpoint(
    trial_of, tmp_path
):
    asked = {"backbone": f"{FILE}:Grouped", "settings": VALIDATED | LONG}
    trial = trial_of(losses=("margin",), **asked)
    (whole,) = records(events(tmp_path / "whole", trial))
    processes: list[int] = []
    for event in events(tmp_path / "runs", trial, checkpoint_seconds=1e-9):
        if event.kind == "epoch" and event.epoch.epoch == 1:
            (worker,) = [p.pid for p in psutil.Process().children() if ranks_of(p.pid)]
            processes = [worker, *ranks_of(worker)]
            os.kill(processes[-1], signal.SIGKILL)
    assert (event.kind, event.record) == ("lost", None)
    assert event.reason.startswith("On rank 1 of 2: The worker process was killed by signal 9 in ")
    wait_until(lambda: not any(map(is_running, processes)))

    executor = Local(jobs=1)
    for event in events(tmp_path / "runs", trial, executor=executor):
        if event.kind == "epoch" and event.epoch.epoch == 3:
            executor.stop(30)
    assert event.kind == "stopped"

    (record,) = records(events(tmp_path / "runs", trial))
    assert record.measurements["resumed"] == 2
    assert bare(record) == bare(whole)


TWICE = '''
import os
from dmlbench import Loss

class Raising(Loss):
    """Fails in one process, or in all of them."""
    takes = "labels"

    def __init__(self, *, everywhere: bool = False) -> None:
        super().__init__()
        self.everywhere = everywhere

    def forward(self, pairs, selection):
        if self.everywhere or os.environ.get("RANK") == "1":
            raise ValueError("no more")
        return pairs.anchors.sum()
'''


@pytest.mark.slow
def test_what_fails_in_one_process_fails_the_trial_and_the_next_one_runs(plan_of, tmp_path):
    path = tmp_path / "twice.py"
    path.write_text(TWICE)
    asked = {"backbone": f"{FILE}:Grouped", "losses": (f"{path}:Raising",)}
    (here,) = plan_of(**asked).trials
    (everywhere,) = plan_of(**asked, settings={"loss.everywhere": "true"}).trials
    (fine,) = plan_of(backbone=asked["backbone"], losses=("contrastive",)).trials
    ended = [event for event in events(tmp_path / "runs", here, everywhere, fine) if event.is_last]
    assert [event.kind for event in ended] == ["lost", "finished", "finished"]
    assert ended[0].reason.startswith("On rank 1 of 2: ValueError: no more")
    assert ended[1].record.reason.startswith("ValueError: no more")
    assert ended[2].record.status == "finished"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"devices_per_trial": 0}, "at least 1 device"),
        ({"backbone": f"{FILE}:Grouped", "jobs": 0}, "needs worker processes: leave out --jobs 0"),
        ({}, r"small-conv can't be trained by a trial on several devices"),
        ({"devices_per_trial": 65}, "have 64 items, and each device needs one"),
    ],
)
def test_what_can_not_be_divided_is_refused_before_anything_runs(asked, reason, tmp_path):
    usual = {"losses": "contrastive", "baselines": "none", "output": tmp_path, "device": "cpu"}
    usual |= {"devices_per_trial": 2, "progress": False}
    with pytest.raises(ConfigError, match=reason):
        dmlbench.run("glyphs", **(usual | asked))
    assert not [*tmp_path.rglob("*.json")]


def test_each_process_has_a_gpu_of_its_own_and_all_share_the_cpu():
    def devices(name: str, number: int) -> list[str]:
        settings = WorkerSettings(Path(), device=name, devices_per_trial=number)
        return [device_of_rank(settings, rank) for rank in range(number)]

    assert devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices("cpu", 2) == ["cpu", "cpu"]
    assert devices("cuda", 1) == ["cuda"]
    assert devices("cuda:1", 1) == ["cuda:1"]
    assert "1 worker process on 2" in Local(jobs=1).where(
        WorkerSettings(Path(), devices_per_trial=2)
    )
