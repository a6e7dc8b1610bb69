"""What is published names files, never the folders of the one who ran it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.networks import save_weights, timm_network

import dmlbench

LOSS = """
from dmlbench import Loss

class Own(Loss):
    "Pulls."
    takes = "pairs"
    default_miner = "all-pairs"

    def forward(self, pairs, selection):
        return pairs.squared_distance.mean()

class Failing(Own):
    "Can't read its file."

    def forward(self, pairs, selection):
        return open(__file__ + ".table").read()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home folder with photos, a loss and weights in it; work in another folder."""
    home, work = (tmp_path_factory.mktemp(name) for name in ("home", "work"))
    rng = np.random.default_rng(0)
    for name in "abcd":
        (home / "birds" / name).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(home / "birds" / name / f"{number}.png")
    (home / "own.py").write_text(LOSS)
    save_weights(timm_network("test_resnet", seed=5).state_dict(), home / "net.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.chdir(work)
        yield home


@pytest.fixture(scope="module")
def records(home):
    return dmlbench.run(
        f"folder:{home}/birds",
        losses=[f"{home}/own.py:Own", f"{home}/own.py:Failing"],
        baselines=["pixels", "untrained"],
        backbone="timm/test_resnet",
        protocol="small",
        seeds=1,
        settings={
            "backbone.weights": "~/net.safetensors",
            "protocol.batch_size": 4,
            "protocol.sampler": "random",
            "protocol.short_side": 8,
            "protocol.image_size": 8,
            "protocol.length.epochs": 1,
            "protocol.length.steps_per_epoch": 2,
        },
        output="out",
        jobs=0,
        progress=False,
    )


def test_no_file_of_a_run_tells_the_home_folder(home, records):
    assert sorted(record.status for record in records) == ["failed"] + 3 * ["finished"]
    dmlbench.publish(records, "out/leaderboards")
    dmlbench.publish("out/runs", "out/again", html="out/site")
    files = [path for path in Path("out").rglob("*") if path.is_file()]
    assert {".json", ".md", ".csv", ".tex", ".html"} <= {path.suffix for path in files}
    for path in files:
        assert str(home).encode() not in path.read_bytes(), path
        assert home.name not in str(path), path
    (failed,) = (record for record in records if record.status == "failed")
    assert "'~/own.py.table'" in failed.reason
    (page,) = Path("out/leaderboards").glob("*/*.md")
    text = page.read_text()
    for shown in ("folder:birds", "own.py:Own", "net.safetensors"):
        assert shown in text
    (own,) = (record for record in records if record.trial.label.startswith("own.py:Own"))
    assert own.trial.parts["backbone"].files["weights"][:8] in text


def test_a_record_runs_again_where_its_files_are_and_says_what_is_missing(
    home, records, monkeypatch
):
    (path,) = Path("out/runs").absolute().rglob("own.py-Own*.json")
    with pytest.raises(dmlbench.DmlbenchError, match=r"own\.py|birds|net\.safetensors"):
        dmlbench.reproduce(path)
    monkeypatch.chdir(home)
    assert dmlbench.reproduce(path).to_the_bit


def test_a_record_that_is_read_has_the_id_that_was_planned(records):
    again = dmlbench.load_records("out/runs")
    assert {record.id for record in again} == {record.id for record in records}
    assert {record.trial.id for record in again} == {record.trial.id for record in records}
