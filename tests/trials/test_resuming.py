"""A trial that is stopped or killed and goes on leaves the record of one that ran through."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.errors import TrialEnded, TrialStoppedError
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.checkpoints import read_checkpoint, write_checkpoint
from dmlbench.training import session as sessions
from dmlbench.training.session import Session
from dmlbench.trials.run_trial import run_trial

FROZEN = """frozen = true
sampler ="""

# Each with what is changed of the tiny protocol: 2 epochs of 3 steps on 4 classes, no validation.
KINDS = {
    "pairs": {"losses": ("multi-similarity",)},
    "triplets, drawn": {"losses": ("triplet",), "miners": ("random",)},
    "drawn by distance": {"losses": ("margin",)},
    "proxies": {"losses": ("proxy-anchor",)},
    "memory": {"losses": ("xbm/contrastive",), "settings": {"loss.warmup_steps": "1"}},
    "clusters": {"losses": ("magnet",)},
    "sum with centres": {"losses": ("cross-entropy+0.01*center",)},
    "sum of mined": {"losses": ("triplet+0.5*contrastive",), "miners": ("semi-hard+hdc",)},
    "two views": {"losses": ("vicreg",)},
    "batches by embeddings": {
        "losses": ("contrastive",),
        "samplers": ("core-set",),
        "settings": {"sampler.pool": "20", "sampler.m": "2"},
    },
    "momentum": {
        "losses": ("contrastive",),
        "settings": {
            "protocol.optimiser.name": "sgd",
            "protocol.optimiser.head_only_epochs": "1",
            "protocol.optimiser.clip_norm": "0.1",
        },
    },
    "float16": {"losses": ("arcface",), "settings": {"protocol.precision": "float16"}},
    "best epoch": {
        "losses": ("proxy-nca",),
        "seeds": (1,),
        "settings": {"protocol.validation.min_classes": "4", "protocol.optimiser.lr": "0.03"},
    },
    "trained anew": {
        "losses": ("proxy-anchor",),
        "settings": {
            "protocol.validation.min_classes": "4",
            "protocol.validation.then": "retrain-all",
        },
    },
    "folds": {
        "datasets": ("iris",),
        "protocol": "vectors",
        "losses": ("contrastive",),
        "settings": {"protocol.length.epochs": "1", "protocol.length.steps_per_epoch": "2"},
    },
}


class KilledError(TrialEnded):
    """Stands for SIGKILL: nothing that the trial could do about it is done."""


@pytest.fixture(autouse=True)
def as_often_as_asked(monkeypatch):
    monkeypatch.setattr(sessions, "_WRITES_PER_TIME", 0)


@cache
def workplace() -> Workplace:
    return Workplace(Catalogue.discover(), None, torch.device("cpu"))


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def throw_random_states_off() -> None:
    for draw in (torch.rand, np.random.rand, random.randbytes):
        draw(random.randrange(1, 9))


def in_processes(
    trial: Trial, path: Path, stops: Callable[[int], Callable[[], bool]], **options: float
) -> tuple[Record, list[list[Epoch]]]:
    """Run a trial, each time with a new session, until it is over.

    Args:
        trial: what to run.
        path: of the checkpoint.
        stops: from the number of a session to whether it is to stop, asked before training and
            at each pause.
        options: of sessions.

    Returns:
        The record, and the epochs that each session told of.
    """
    said: list[str] = []
    told: list[list[Epoch]] = []
    for number in range(1000):
        throw_random_states_off()
        session = Session(path, stop=stops(number), say=said.append, **options)
        told.append([])
        try:
            record = run_trial(trial, workplace(), told[-1].append, session=session)
        except (TrialStoppedError, KilledError):
            continue
        assert said == []
        return record, told
    raise AssertionError("it never ends")


def at_the_first_pause(number: int) -> Callable[[], bool]:
    """Return a stop that comes once training is under way."""
    asked = iter([False])
    return lambda: next(asked, True)


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_at_every_pause_it_leaves_the_record_of_one_that_ran_through(
    trial_of, kind, tmp_path
):
    trial = trial_of(**KINDS[kind])
    pauses = -1  # it is asked before training, too

    def count() -> bool:
        nonlocal pauses
        pauses += 1
        return False

    whole = run_trial(trial, workplace(), session=Session(stop=count))
    assert whole.status == "finished", whole.reason
    record, told = in_processes(trial, tmp_path / "one.checkpoint", at_the_first_pause)
    assert without_measurements(record) == without_measurements(whole)
    assert record.measurements["resumed"] == pauses >= 8
    if kind == "best epoch":
        assert record.selected_epoch == 1  # so the weights of an earlier process were tested
        assert record.metrics != record.last_epoch_metrics
    assert whole.measurements["resumed"] == 0
    if kind != "folds":  # it tells of means over folds, at the end
        assert told[-1] == [*record.epochs, *record.retraining]


@pytest.mark.parametrize("kind", ["memory", "float16", "best epoch", "trained anew"])
def test_killed_it_goes_on_from_its_last_checkpoint(trial_of, kind, tmp_path):
    trial = trial_of(**KINDS[kind])
    whole = run_trial(trial, workplace())
    chance = random.Random(0)

    def killed(number: int) -> Callable[[], bool]:
        left = iter(range(1 + chance.randint(1, 3)))

        def kill() -> bool:
            if next(left, None) is None:
                raise KilledError
            return False

        return kill

    record, told = in_processes(trial, tmp_path / "one.checkpoint", killed, every=0)
    assert len(told) > 2
    assert record.measurements["resumed"] == len(told) - 1
    assert without_measurements(record) == without_measurements(whole)


def test_a_head_on_frozen_features_goes_on(trial_of, tiny_protocol, tmp_path):
    tiny_protocol.write_text(tiny_protocol.read_text().replace("sampler =", FROZEN))
    trial = trial_of(losses=("proxy-anchor",), backbone="small-conv")
    whole = run_trial(trial, workplace())
    assert whole.status == "finished", whole.reason
    record, _ = in_processes(trial, tmp_path / "one.checkpoint", at_the_first_pause)
    assert without_measurements(record) == without_measurements(whole)


def test_what_no_training_takes_is_run_again(trial_of, tmp_path):
    trial = trial_of(baselines=("pca",))
    path = tmp_path / "one.checkpoint"
    session = Session(path, every=0, stop=at_the_first_pause(0))
    record = run_trial(trial, workplace(), session=session)
    assert record.status == "finished"
    assert not path.exists()


def test_asked_before_training_it_stops_and_leaves_the_checkpoint_that_is_there(trial_of, tmp_path):
    trial, path = trial_of(losses=("contrastive",)), tmp_path / "one.checkpoint"
    for stop in (at_the_first_pause(0), lambda: True):
        with pytest.raises(TrialStoppedError):
            run_trial(trial, workplace(), session=Session(path, stop=stop))
    assert run_trial(trial, workplace(), session=Session(path)).measurements["resumed"] == 1


def test_seconds_of_all_its_processes_add_up(trial_of, tmp_path):
    trial, path = trial_of(losses=("contrastive",)), tmp_path / "one.checkpoint"
    with pytest.raises(TrialStoppedError):
        run_trial(trial, workplace(), session=Session(path, stop=at_the_first_pause(0)))
    key, content = read_checkpoint(path)
    names = {"seconds", "cpu_seconds", "load_seconds", "train_seconds", "validate_seconds"}
    assert content["parts"]["time spent"].keys() == names
    earlier = {"seconds": 1000.0, "cpu_seconds": 500.0, "train_seconds": 300.0}
    write_checkpoint(path, key, content | {"parts": content["parts"] | {"time spent": earlier}})
    found = run_trial(trial, workplace(), session=Session(path)).measurements
    assert all(found[name] > before for name, before in earlier.items())
    assert 0 < found["test_seconds"] < 100
