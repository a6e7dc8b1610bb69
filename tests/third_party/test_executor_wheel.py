"""A stranger's executor: built as a wheel, installed by pip, and used by a run."""

import json
import re
from pathlib import Path

import pytest
from third_party import test_wheels as wheels

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
REQUEST = (
    *("run", "--dataset", "digits-closed", "--loss", "triplet", "--baseline", "pixels"),
    *("--seeds", 1, "--executor", "process-each"),
    *("--set", "protocol.length.epochs=1", "--set", "protocol.length.steps_per_epoch=5"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the executor of the documentation is installed."""
    (source,) = re.findall(
        r"^```python title=\"process_each.py\"\n(.*?)^```$",
        PAGE.read_text(),
        re.DOTALL | re.MULTILINE,
    )
    folder = tmp_path_factory.mktemp("executor")
    with pytest.MonkeyPatch.context() as patch:
        components = {"executors": {"process-each": "ProcessEach"}}
        patch.setitem(wheels.PACKAGES, "process-each", (source, components))
        wheel = wheels.build_wheel("process-each", folder / "source")
    wheels.pip("install", "--no-deps", "--no-index", "--target", folder / "installed", wheel)
    return folder / "installed"


def test_it_is_listed_and_its_options_are_checked_when_a_run_is_planned(site, tmp_path):
    listed = wheels.dmlbench(site, tmp_path, "list", "executors")
    assert "  process-each  process-each 1.2.3" in listed.stdout
    wrong = wheels.dmlbench(site, tmp_path, *REQUEST, "--set", "executor.slot=1")
    assert wrong.returncode == 2
    assert "no hyper-parameter 'slot'. Did you mean 'slots'?" in wrong.stderr
    outside = wheels.dmlbench(site, tmp_path, *REQUEST, "--set", "executor.slots=0")
    assert outside.returncode == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_it_runs_the_trials(site, tmp_path):
    result = wheels.dmlbench(site, tmp_path, *REQUEST, "--set", "executor.slots=1")
    assert result.returncode == 0, result.stderr
    assert "2 trials to run, 0 finished before; executor ProcessEach." in result.stdout
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("*.json")]
    assert [record["status"] for record in records] == ["finished"] * 2
    again = wheels.dmlbench(site, tmp_path, *REQUEST)
    assert "0 trials to run, 2 finished before" in again.stdout


@pytest.mark.slow
def test_it_draws_lazily_stops_and_cancels(site, tmp_path):
    result = wheels.dmlbench(site, tmp_path, "plugin", "check", "executor:process-each", "--long")
    assert result.returncode == 0, result.stdout
    for claim in ("trials are drawn as slots become free", "stop ends the run", "cancel ends one"):
        assert claim in result.stdout
