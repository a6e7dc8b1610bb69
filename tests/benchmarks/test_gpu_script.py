"""The GPU hour, rehearsed on a CPU; and each of its checks fails on a planted fault."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from benchmarks.gpu import trials
from benchmarks.gpu.__main__ import PARTS, RAISED, run_parts
from benchmarks.gpu.evaluation import made_embeddings, same_figures
from benchmarks.gpu.figures import Figure
from benchmarks.gpu.place import Place
from benchmarks.gpu.steps import _failures, network_and_batch, steps_of
from torch import Tensor

from dmlbench import Loss, Pairs
from dmlbench.retrieval import evaluate
from dmlbench.testing.other_device import OtherDevice
from dmlbench.training.objective import Summand

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    return Place("cpu", True, tmp_path_factory.mktemp("gpu"))


@pytest.mark.slow
def test_every_part_runs_on_a_cpu_and_is_skipped_when_it_is_finished(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--small"]
    command += ["--out", str(tmp_path)]
    environment = {**os.environ, "DMLBENCH_DATA": ""}
    for again in (False, True):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr.count("finished before") == again * len(PARTS)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results.keys() == PARTS.keys()
    reached = [figure["reached"] for figures in results.values() for figure in figures]
    assert False not in reached
    assert reached.count(True) >= 9


def test_a_part_that_raises_does_not_stop_the_others_and_runs_again(place):
    calls = count()

    def fails_once(place: Place) -> list[Figure]:
        if not next(calls):
            raise RuntimeError("planted")
        return [Figure("fine", "1")]

    parts = {"bad": fails_once, "good": lambda place: [Figure("good", "2", "2", True)]}
    first = run_parts(place, [*parts], parts)
    assert (first["bad"][0]["name"], first["bad"][0]["reached"]) == (RAISED, False)
    assert "planted" in first["bad"][0]["value"]
    assert first["good"][0]["value"] == "2"
    second = run_parts(place, [*parts], parts)
    assert second["bad"][0]["name"] == "fine"
    assert second["good"] == first["good"]


class MasksOnTheCPU(Loss):
    takes = "labels"

    def forward(self, pairs: Pairs, selection: None) -> Tensor:
        return pairs.similarity.masked_fill(torch.eye(len(pairs)).bool(), 0).sum()


class Sums(Loss):
    takes = "labels"

    def forward(self, pairs: Pairs, selection: None) -> Tensor:
        return pairs.similarity.sum()


def test_a_device_mismatch_fails_and_a_sound_loss_does_not(place):
    model, batch, labels = network_and_batch(place)
    start = dict(model.state_dict())
    with OtherDevice() as device:
        model.to(device.name)
        start = {name: value.to(device.name) for name, value in start.items()}
        given = batch.to(device.name), labels.to(device.name)
        assert len(steps_of(model, start, lambda: Summand(Sums()), *given)) == 4
        with pytest.raises(RuntimeError, match="same device"):
            steps_of(model, start, lambda: Summand(MasksOnTheCPU()), *given)


class Drifts(Sums):
    calls = count()

    def forward(self, pairs: Pairs, selection: None) -> Tensor:
        return super().forward(pairs, selection) * (1 + 1e-6 * next(self.calls))


class IsRefused(Sums):
    def forward(self, pairs: Pairs, selection: None) -> Tensor:
        indices = torch.zeros(2, dtype=torch.int64, device=pairs.anchors.device)
        torch.zeros_like(pairs.similarity).detach().put_(indices, pairs.anchors.detach()[0, :2])
        return super().forward(pairs, selection)


def test_what_does_not_repeat_is_named(place):
    runs = {cls.__name__: lambda cls=cls: Summand(cls()) for cls in (Sums, Drifts, IsRefused)}
    failed = dict(_failures(place, runs))
    assert failed.keys() == {"Drifts", "IsRefused"}
    assert failed["Drifts"].startswith("does not repeat")
    assert "deterministic" in failed["IsRefused"]


def test_a_wrong_metric_is_noticed():
    result = evaluate(*made_embeddings(200, 40, 8))
    assert same_figures(result, result).reached
    hits = result.per_query.hits.copy()
    hits[7] += 1
    wrong = replace(result, per_query=replace(result.per_query, hits=hits))
    figure = same_figures(result, wrong)
    assert (figure.reached, figure.value) == (False, "differ: hits")


@pytest.mark.parametrize(
    ("fault", "reached"),
    [
        (None, [True, True]),
        (nullcontext(), [False, True]),  # the trial that should not fit finishes
        (pytest.MonkeyPatch, [False, True]),  # it fails for another reason
    ],
)
def test_a_trial_too_large_must_fail_by_its_memory(place, tmp_path, monkeypatch, fault, reached):
    if fault is pytest.MonkeyPatch:
        other = trials.mock.patch.object(trials.loop, "take_step", side_effect=ValueError("other"))
        monkeypatch.setattr(trials, "too_little_memory", lambda place: other)
    elif fault is not None:
        monkeypatch.setattr(trials, "too_little_memory", lambda place: fault)
    figures = trials.out_of_memory(replace(place, folder=tmp_path))
    assert [figure.reached for figure in figures] == reached


def test_the_house_standard_runs_on_photos_that_are_there(place, tmp_path, monkeypatch):
    (figure,) = trials.house_on(replace(place, folder=tmp_path), place.photos)
    assert figure.reached
    full = torch.OutOfMemoryError("planted")
    monkeypatch.setattr(trials.loop, "take_step", trials.mock.Mock(side_effect=full))
    (figure,) = trials.house_on(replace(place, folder=tmp_path / "again"), place.photos)
    assert figure.reached is False
    assert "planted" in figure.value
