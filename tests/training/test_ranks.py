"""A step of several processes, each with a share of the batch, is the step of one."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support.families import FAMILIES, distance, gradients
from support.small_training import CPU, ITEMS
from support.steps import AUGMENTED, LABELS, STEPS, Taken, started, steps
from torch import nn

from dmlbench.compute.determinism import seed_everything, seeded
from dmlbench.compute.world import ALONE, World, open_meeting_point
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.training.embedder import formatted

RANKS = 4
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("count", [0, 1, 4, 17, 18])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_follow_each_other_and_differ_by_one(count, size):
    shares = [World(rank, size).share(count) for rank in range(size)]
    assert (shares[0].start, shares[-1].stop) == (0, count)
    assert all(one.stop == other.start for one, other in pairwise(shares))
    sizes = [share.stop - share.start for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_alone_nothing_is_asked_for():
    rows = torch.rand(3, 2)
    weight = nn.Parameter(rows)
    weight.grad = rows
    ALONE.add_up([weight])
    ALONE.require_same("nothing", 1)
    assert ALONE.gather(rows, 3) is rows
    assert weight.grad is rows
    assert ALONE.from_first(lambda: "made") == "made"


@pytest.fixture(scope="module")
def module_plan(tmp_path_factory):
    """Return a trial of each family."""
    from conftest import TINY_PROTOCOL, ZOO

    from dmlbench.components.catalogue import Catalogue
    from dmlbench.planning.planner import Planner
    from dmlbench.schemas.suite import Suite

    path = tmp_path_factory.mktemp("protocol") / "tiny.toml"
    path.write_text(TINY_PROTOCOL)
    usual = {
        "datasets": (f"{ZOO}:Patterns",),
        "protocol": str(path),
        "baselines": (),
        "seeds": (0,),
    }
    planner = Planner(Catalogue.discover())
    return {
        name: planner.unfold(Suite(**usual, **some)).trials[0] for name, some in FAMILIES.items()
    }


@pytest.fixture(scope="module")
def taken(module_plan, tmp_path_factory) -> list[dict[tuple[int, str], Taken]]:
    """Return the steps that each of four processes took, among two and among four."""
    asked = tmp_path_factory.mktemp("ranks") / "trials.json"
    asked.write_text(json.dumps({k: v.model_dump(mode="json") for k, v in module_plan.items()}))
    store = open_meeting_point()
    place = {"MASTER_PORT": str(store.port), "WORLD_SIZE": str(RANKS), "OMP_NUM_THREADS": "1"}
    place |= {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, "-m", "support.steps", str(asked)]
    started = [
        subprocess.Popen(command, cwd=TESTS.parent, env={**os.environ, **place, "RANK": str(rank)})
        for rank in range(RANKS)
    ]
    try:
        assert [process.wait(300) for process in started] == [0] * RANKS
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [torch.load(asked.with_name(f"{rank}.pt")) for rank in range(RANKS)]


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_of_every_family_are_those_of_one_process(module_plan, taken, family):
    expected = steps(started(module_plan[family], 0.0))
    for size in (2, RANKS):
        for found in taken[:size]:
            for (loss, ours), (value, whole) in zip(found[size, family], expected, strict=True):
                assert loss == pytest.approx(value, rel=1e-6)
                assert distance(ours, whole) < 1e-5


@pytest.mark.parametrize("size", [2, RANKS])
def test_all_processes_have_the_same_gradients_to_the_bit(taken, size):
    first, *others = taken[:size]
    for name in FAMILIES:
        for other in others:
            for (loss, ours), (value, theirs) in zip(
                other[size, name], first[size, name], strict=True
            ):
                assert loss == value
                assert distance(ours, theirs) == 0


@pytest.mark.parametrize("size", [2, RANKS])
def test_chunks_of_shares_are_the_step_of_one_process_too(module_plan, taken, size):
    expected = steps(started(module_plan["pairs"], 0.0))
    for (loss, ours), (value, whole) in zip(taken[1][size, "chunks"], expected, strict=True):
        assert loss == pytest.approx(value, rel=1e-6)
        assert distance(ours, whole) < 1e-5


@pytest.mark.parametrize("size", [2, RANKS])
def test_each_process_drops_by_random_numbers_of_its_own(module_plan, taken, size):
    """Autograd goes through all shares in one process, each after the draws of its rank."""
    training = started(module_plan["all pairs"], 0.4)
    model, objective = training.model, training.objective
    feed = Feed(to_device_inputs(ITEMS.inputs, CPU), AUGMENTED, "bilinear", (0, 3))
    seed_everything(7)
    for number, batch in enumerate(feed.batches(1, STEPS)):
        parts = []
        for rank in range(size):
            with seeded(CPU, 0, number, rank):
                part = batch[World(rank, size).share(len(batch))]
                parts.append(model.backbone(formatted(part, model.format)))
        value = objective(model.head(torch.cat(parts).float()), LABELS[STEPS[number]])
        training.optimiser.zero_grad()
        value.backward()
        for found in taken[:size]:
            loss, ours = found[size, "dropout"][number]
            assert loss == pytest.approx(float(value.detach()), rel=1e-6)
            assert distance(ours, gradients(model, objective)) < 1e-5
        training.optimiser.step()
