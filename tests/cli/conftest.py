"""The command line in this process, as a user sees it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.official_archives import official, pack_set
from support.official_sets import TINY as TINY_SETS

from dmlbench.cli.main import main

TINY = """
description = "as short as can be"
source = "tests"
backbone = "small-conv"
sampler = "m-per-class"
embedding_dim = 8
batch_size = 16
short_side = 16
image_size = 16
interpolation = "bicubic"
precision = "float32"
distance = "cosine"

[optimiser]
name = "adamw"
lr = 1e-3
weight_decay = 0.0
schedule = "constant"
warmup_steps = 0

[length]
epochs = 1
steps_per_epoch = 2

[augmentation]
shift = 0.0
flip = false

[validation]
class_fraction = 0.0
min_classes = 20

[baselines]
fit_items = 100
floors = ["pixels", "untrained"]
"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def dmlbench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Result]:
    """Run a command in an empty directory; return exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DMLBENCH_DATA", raising=False)

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["dmlbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Result(int(stop.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A protocol that takes a fraction of a second."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def whole_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect of each official set what its tiny stand-in has."""
    for tiny in TINY_SETS.values():
        monkeypatch.setattr(tiny.plugin, "expected", tiny.expected)


@pytest.fixture
def archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_sets: None
) -> Callable[[str], list[Path]]:
    """Return a function that packs a tiny set; its archives pass for the official ones."""

    def make(name: str) -> list[Path]:
        tiny = TINY_SETS[name]
        tiny.write(tmp_path / "unpacked" / name)
        paths = pack_set(name, tmp_path / "unpacked" / name, tmp_path / "archives" / name)
        monkeypatch.setattr(tiny.plugin, "archives", tuple(map(official, paths)))
        return paths

    return make
