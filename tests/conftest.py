"""What tests of the harness share: a zoo of components, a tiny protocol, installed strangers."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from support.processes import workers

if TYPE_CHECKING:
    from dmlbench.schemas.plan import Plan
    from dmlbench.schemas.trial import Trial

# How long drawing an example takes says something of the machine, nothing of the code.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

ZOO = Path(__file__).parent / "support" / "zoo.py"

TINY_PROTOCOL = """
description = "as short as can be"
source = "tests"
backbone = "small-conv"
sampler = "m-per-class"
embedding_dim = 4
batch_size = 8
short_side = 8
image_size = 8
interpolation = "bicubic"
precision = "float32"
distance = "cosine"

[optimiser]
name = "adamw"
lr = 1e-3
weight_decay = 1e-4
schedule = "cosine"
warmup_steps = 2

[length]
epochs = 2
steps_per_epoch = 3

[augmentation]
shift = 0.125
flip = true

[validation]
class_fraction = 0.5
min_classes = 20

[baselines]
fit_items = 20
floors = ["pixels"]
"""

Install = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded photos out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DMLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("DMLBENCH_TRY_IMPORTS", "no")  # but where a test is of that
        yield


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fail the test that leaves a process, which would keep pytest itself from ending."""
    yield
    left = multiprocessing.active_children()
    for process in left:
        process.kill()
        process.join()
    workers_left = workers()
    for worker in workers_left:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    assert left == []
    assert workers_left == set()


@pytest.fixture(scope="session")
def zoo() -> Callable[[str], str]:
    """Return the reference to a class of the zoo."""
    return lambda name: f"{ZOO}:{name}"


@pytest.fixture
def tiny_protocol(tmp_path: Path) -> Path:
    """Write a protocol that trains for an instant and selects the last epoch."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_PROTOCOL)
    return path


@pytest.fixture
def plan_of(zoo: Callable[[str], str], tiny_protocol: Path) -> Callable[..., "Plan"]:
    """Return the plan of a suite, on the patterns of the zoo unless it says otherwise."""

    def plan(**suite: Any) -> "Plan":
        from dmlbench.components.catalogue import Catalogue
        from dmlbench.planning.planner import Planner
        from dmlbench.schemas.suite import Suite

        usual = {"datasets": (zoo("Patterns"),), "protocol": str(tiny_protocol)}
        usual |= {"baselines": (), "seeds": (0,)}
        return Planner(Catalogue.discover()).unfold(Suite(**(usual | suite)))

    return plan


@pytest.fixture
def trial_of(plan_of: Callable[..., "Plan"]) -> Callable[..., "Trial"]:
    """Return the only trial of a suite."""

    def trial(**suite: Any) -> "Trial":
        (only,) = plan_of(**suite).trials
        return only

    return trial


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a distribution of one module, as pip would leave it."""
    before = set(sys.modules)

    def put(
        distribution: str,
        source: str,
        entry_points: Mapping[str, Mapping[str, str]],
        *,
        version: str = "1.0",
        site: str = "site",
    ) -> Path:
        folder = tmp_path / site
        name = distribution.replace("-", "_")
        information = folder / f"{name}-{version}.dist-info"
        information.mkdir(parents=True)
        (folder / f"{name}.py").write_text(source)
        lines = []
        for group, entries in entry_points.items():
            lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items()), ""]
        (information / "entry_points.txt").write_text("\n".join(lines))
        if str(folder) not in sys.path:
            monkeypatch.syspath_prepend(str(folder))
        return folder

    yield put
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
