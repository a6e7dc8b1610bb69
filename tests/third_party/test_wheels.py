"""Packages of strangers: built as wheels, installed by pip, and taken part by nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = '''
from typing import Annotated

import torch
import torch.nn.functional as F
from dmlbench import Backbone, LogUniform, Loss, Miner, PairMask, masked_mean


class SoftContrastive(Loss):
    """Smooth contrastive loss on cosine similarity."""

    takes = "pairs"
    default_miner = "nearest-half"

    def __init__(self, *, temperature: Annotated[float, LogUniform(0.01, 1.0)] = 0.1):
        super().__init__()
        self.temperature = temperature

    def forward(self, pairs, selection):
        logits = pairs.similarity / self.temperature
        negative = masked_mean(F.softplus(logits), selection.negative)
        return negative + masked_mean(F.softplus(-logits), selection.positive)


class NearestHalf(Miner):
    """All positives, and the nearer half of the negatives."""

    makes = "pairs"

    def select(self, pairs):
        ranked = pairs.similarity.sort(dim=1).values
        middle = ranked[:, ranked.shape[1] // 2, None]
        return PairMask(pairs.positive, pairs.negative & (pairs.similarity >= middle))


class Flat(Backbone):
    """The pixels themselves."""

    def build(self, shape):
        network = torch.nn.Flatten()
        network.num_features = int(torch.tensor(shape).prod())
        return network
'''

PACKAGES = {
    "good-plugin": (
        GOOD,
        {
            "losses": {"soft-contrastive": "SoftContrastive"},
            "miners": {"nearest-half": "NearestHalf"},
            "backbones": {"flat": "Flat"},
        },
    ),
    "broken-plugin": ("raise RuntimeError('I am broken')", {"losses": {"broken": "Broken"}}),
    "clashing-plugin": (
        GOOD.replace("nearest-half", "all-pairs"),
        {"losses": {"contrastive": "SoftContrastive"}},
    ),
}


def build_wheel(name: str, folder: Path) -> Path:
    source, components = PACKAGES[name]
    module = name.replace("-", "_")
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text(source)
    lines = [
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"',
        f'[project]\nname = "{name}"\nversion = "1.2.3"\ndependencies = ["dmlbench"]',
    ]
    for kind, names in components.items():
        lines.append(f'[project.entry-points."dmlbench.{kind}"]')
        lines += [f'{key} = "{module}:{value}"' for key, value in names.items()]
    (folder / "pyproject.toml").write_text("\n".join(lines))
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the three packages are installed."""
    folder = tmp_path_factory.mktemp("site")
    for name in PACKAGES:
        wheel = build_wheel(name, tmp_path_factory.mktemp(name))
        pip("install", "--no-deps", "--no-index", "--target", folder / "installed", wheel)
    return folder / "installed"


def dmlbench(site: Path, cwd: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dmlbench", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_list_shows_all_of_them_without_importing_one(site, tmp_path):
    result = dmlbench(site, tmp_path, "list")
    assert result.returncode == 0, result.stderr
    for line in (
        "soft-contrastive",
        "nearest-half",
        "flat",
        "broken ",
        "clashing-plugin:contrastive",
        "dmlbench:contrastive",
    ):
        assert f"  {line}" in result.stdout
    assert "good-plugin 1.2.3" in result.stdout


def test_list_long_and_doctor_report_the_broken_one_and_hide_nothing(site, tmp_path):
    long = dmlbench(site, tmp_path, "list", "losses", "--long")
    assert long.returncode == 0, long.stderr
    assert "BROKEN" in long.stdout
    assert "broken-plugin 1.2.3" in long.stdout
    assert "RuntimeError: I am broken" in long.stdout
    assert "Smooth contrastive loss on cosine similarity." in long.stdout
    doctor = dmlbench(site, tmp_path, "doctor")
    assert doctor.returncode == 1
    assert "I am broken" in doctor.stdout
    assert "clashing-plugin:contrastive or dmlbench:contrastive" in doctor.stdout


@pytest.mark.slow
def test_they_take_part_in_a_run_and_the_broken_one_fails_alone(site, tmp_path):
    result = dmlbench(
        *(site, tmp_path, "run", "--dataset", "digits-closed", "--seeds", 1),
        *("--loss", "soft-contrastive,broken,clashing-plugin:contrastive,triplet"),
        *("--set", "protocol.length.epochs=1", "--set", "protocol.length.steps_per_epoch=5"),
    )
    assert result.returncode == 1, result.stderr
    assert "I am broken" in result.stderr
    found = {}
    for path in (tmp_path / "runs").rglob("*.json"):
        record = json.loads(path.read_text())
        part = record["trial"]["parts"].get("loss")
        if part:
            found[part["name"], part["distribution"]] = record
    assert {key: record["status"] for key, record in found.items()} == {
        ("soft-contrastive", "good-plugin"): "finished",
        ("broken", "broken-plugin"): "failed",
        ("contrastive", "clashing-plugin"): "finished",
        ("triplet", "dmlbench"): "finished",
    }
    assert found["soft-contrastive", "good-plugin"]["versions"]["good-plugin"] == "1.2.3"
    (page,) = (tmp_path / "leaderboards" / "digits-closed").glob("*.md")
    text = page.read_text()
    for words in ("good-plugin 1.2.3", "nearest-half", "I am broken"):
        assert words in text


@pytest.mark.slow
def test_a_strangers_backbone_trains(site, tmp_path):
    result = dmlbench(
        *(site, tmp_path, "run", "--dataset", "digits-closed", "--seeds", 1, "--jobs", 1),
        *("--loss", "triplet", "--miner", "nearest-half", "--backbone", "flat"),
        *("--set", "protocol.length.epochs=1", "--set", "protocol.length.steps_per_epoch=5"),
    )
    assert result.returncode == 0, result.stderr
    assert "nearest-half" in result.stdout


def test_a_clashing_name_asks_which_one(site, tmp_path):
    result = dmlbench(site, tmp_path, "run", "--dataset", "digits", "--loss", "contrastive")
    assert result.returncode == 2
    assert "clashing-plugin:contrastive or dmlbench:contrastive" in result.stderr
    assert "Traceback" not in result.stderr
