"""Trials on Ray: what they leave, and what nodes, drivers and users may do meanwhile."""

import os
import pickle
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.device_task import device_task
from support.processes import needs_proc, wait_until
from support.ray_cluster import dying_task, two_nodes, workers_under

from dmlbench import Local, Record, Trial, WorkerSettings, hookimpl
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.executors.inline import Inline
from dmlbench.executors.run import run
from dmlbench.schemas.plan import Plan
from dmlbench.storage.record_store import Store
from dmlbench.testing import conformance_tests
from dmlbench.testing.quick_trials import trial as quick
from dmlbench_executors.ray import Ray

pytestmark = [pytest.mark.slow, needs_proc]  # each worker imports torch, each node starts processes


@pytest.fixture(scope="module", autouse=True)
def cluster(own_cache: None) -> Iterator[Any]:
    """A cluster that executors find by RAY_ADDRESS."""
    with two_nodes() as nodes, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", nodes.address)
        yield nodes


class Listener:
    """Counts how often trials end, and does something then."""

    def __init__(self, act=lambda ended: None) -> None:
        self.ends: Counter[str] = Counter()
        self.act = act

    @hookimpl
    def dmlbench_trial_finished(self, trial, record):
        self.ends[trial.id] += 1
        self.act(self.ends.total())


def records_of(plan: Plan, executor, folder: Path, listener: Listener | None = None):
    hooks = empty_manager()
    hooks.register(listener or Listener())
    return run(plan, WorkerSettings(folder / "runs", device="cpu"), hooks, executor)


def without_measurements(records: list[Record]) -> list[str]:
    return [record.model_copy(update={"measurements": {}}).to_json() for record in records]


def kept(folder: Path, plan: Plan) -> list[str]:
    store = Store(folder / "runs")
    return without_measurements([store.read(trial) for trial in plan.trials])


@pytest.fixture
def grid(plan_of, zoo) -> Plan:
    losses = tuple(map(zoo, ("Pull", "Proxies", "Raising")))
    return plan_of(losses=losses, baselines=("pixels", "pca"), seeds=range(12))


@pytest.fixture(scope="module")
def locally() -> dict[str, str]:
    """What `local` recorded of each trial."""
    return {}


def test_a_grid_leaves_the_records_of_local(grid, locally, tmp_path):
    assert len(grid.trials) == 60
    here = without_measurements(records_of(grid, Local(jobs=1), tmp_path / "local"))
    locally.update(zip((trial.id for trial in grid.trials), here, strict=True))
    listener = Listener()
    there = records_of(grid, Ray(), tmp_path / "ray", listener)
    assert without_measurements(there) == here == kept(tmp_path / "ray", grid)
    assert set(listener.ends.values()) == {1}
    assert not (tmp_path / "ray" / "runs/.claims").exists()


def test_when_a_node_dies_all_trials_finish_and_none_is_recorded_twice(
    grid, locally, tmp_path, cluster
):
    (node,) = cluster.worker_nodes
    half = Plan(grid.trials[::2])
    assert len(half.trials) == 30

    def kill_the_node(ended: int) -> None:
        if ended == 15:
            cluster.remove_node(node, allow_graceful=False)

    listener = Listener(kill_the_node)
    there = records_of(half, Ray(), tmp_path, listener)
    expected = [locally[trial.id] for trial in half.trials]
    assert without_measurements(there) == expected == kept(tmp_path, half)
    assert set(listener.ends.values()) == {1}
    assert not cluster.worker_nodes
    cluster.add_node(num_cpus=1)


DRIVER = """
import pickle, sys
from dmlbench import WorkerSettings
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.executors.run import run
from dmlbench_executors.ray import Ray
from pathlib import Path

plan = pickle.loads(Path(sys.argv[1]).read_bytes())
run(plan, WorkerSettings(Path(sys.argv[2]), device="cpu"), empty_manager(), Ray(jobs=1))
"""


def test_a_driver_that_is_killed_and_started_again_goes_on(grid, locally, tmp_path, cluster):
    part = Plan(grid.trials[1::3])
    planned, runs = tmp_path / "plan", tmp_path / "runs"
    planned.write_bytes(pickle.dumps(part))
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(planned), str(runs)])
    wait_until(lambda: len(list(runs.glob("[!.]*/*/*.json"))) >= 3, seconds=120)
    driver.kill()
    driver.wait()
    written = {path: path.stat().st_mtime_ns for path in runs.glob("[!.]*/*/*.json")}
    listener = Listener()
    there = records_of(part, Ray(jobs=1), tmp_path, listener)
    assert without_measurements(there) == [locally[trial.id] for trial in part.trials]
    assert set(listener.ends.values()) == {1}
    assert len(listener.ends) < len(part.trials)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert not list(workers_under(os.getpid()))


class Drawn(Iterator[Trial]):
    """Trials that may be put back, as the harness does."""

    def __init__(self, *trials: Trial) -> None:
        self.waiting = deque(trials)

    def __next__(self) -> Trial:
        if not self.waiting:
            raise StopIteration
        return self.waiting.popleft()


def test_a_trial_whose_worker_dies_is_interrupted_and_the_third_time_lost(tmp_path):
    drawn, ends = Drawn(quick(0), quick(1)), []
    for event in Ray(jobs=1).run(dying_task, drawn, WorkerSettings(tmp_path, device="cpu")):
        if event.kind == "interrupted":
            drawn.waiting.append(event.trial)
        if event.is_last:
            ends.append((event.trial.seed, event.kind))
    assert sorted(ends) == [
        (0, "finished"),
        (0, "interrupted"),
        (1, "interrupted"),
        (1, "interrupted"),
        (1, "lost"),
    ]
    assert event.reason.startswith("3 workers or nodes of Ray died at it: ")


def test_ray_gives_trials_their_parts_of_a_gpu(tmp_path, cluster):
    node = cluster.add_node(num_cpus=2, num_gpus=1)  # as far as Ray knows
    try:
        events = Ray(num_gpus=0.5, jobs=2).run(
            device_task, Drawn(quick(0), quick(1)), WorkerSettings(tmp_path)
        )
        assert [event.reason for event in events] == ["cuda of 0"] * 2
    finally:
        cluster.remove_node(node)


def test_a_stop_saves_the_trial_which_then_goes_on(plan_of, zoo, tmp_path):
    settings = {"protocol.length.epochs": "100", "protocol.length.steps_per_epoch": "10"}
    plan = plan_of(losses=(zoo("Pull"),), settings=settings)
    executor, hooks = Ray(jobs=1), empty_manager()

    class Stopper:
        @hookimpl
        def dmlbench_epoch_finished(self, trial, metrics):
            executor.stop(60)

    hooks.register(Stopper())
    assert run(plan, WorkerSettings(tmp_path / "runs", device="cpu"), hooks, executor) == []
    (record,) = records_of(plan, Inline(), tmp_path)
    assert record.measurements["resumed"] > 0
    expected = records_of(plan, Inline(), tmp_path / "here")
    assert without_measurements([record]) == without_measurements(expected)


test_it_does_what_every_executor_must = conformance_tests("executor", Ray, {"jobs": 1})


ALONE = """
import os, sys
from pathlib import Path
from dmlbench import WorkerSettings
from dmlbench.testing.quick_trials import quick_task, trial
from dmlbench_executors.ray import Ray

before = dict(os.environ)
events = Ray().run(quick_task, iter([trial(0)]), WorkerSettings(Path(sys.argv[1]), device="cpu"))
print(next(events).kind, os.environ["RAY_AUTH_MODE"], os.environ["RAY_USAGE_STATS_ENABLED"])
print(*(event.kind for event in events), os.environ == before)
"""


def test_ray_that_is_started_here_is_closed_to_others_and_leaves_the_home_folder_alone(tmp_path):
    home, runs = tmp_path / "home", tmp_path / "runs"
    home.mkdir()
    mine = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(runs)],
        env=mine | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["started token 0", "epoch epoch finished True"]
    assert list(home.iterdir()) == []
    assert "Ray" not in done.stderr
