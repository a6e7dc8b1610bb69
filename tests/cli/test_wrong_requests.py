"""Whatever is wrong with a request: one clear paragraph, exit code 2, nothing written."""

from pathlib import Path

import datasets
import pytest

RUN = ("run", "--dataset", "digits", "--jobs", "0")


def photos(folder: Path, classes: dict[str, int]) -> Path:
    import numpy as np
    from PIL import Image

    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((8, 8, 3), 20 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run",), ("--all", "--dataset")),
        (("run", "--dataset", "glyphs"), ("--all", "--loss", "glyphs")),
        (("run", "--dataset", "iris,digits", "--seeds", "1", "--jobs", "0"), ("--all", "--loss")),
        (("rum",), ("'rum'", "'run'")),
        (("run", "--al"), ("--all",)),
        (("run", "--all", "--loss", "triplet"), ("--all", "--loss")),
        ((*RUN, "--loss", "triplt"), ("'triplt'", "'triplet'")),
        ((*RUN, "--loss", "triplet", "--miner", "semihard"), ("'semihard'", "'semi-hard'")),
        ((*RUN, "--miner", "random"), ("--miner", "--loss")),
        ((*RUN, "--baseline", "pcaa"), ("'pcaa'", "'pca'")),
        ((*RUN, "--loss", "triplet", "--sampler", "m-per-clas"), ("'m-per-class'",)),
        ((*RUN, "--loss", "triplet", "--backbone", "smal-conv"), ("'small-conv'",)),
        ((*RUN, "--loss", "triplet", "--backbone", "timm"), ("family", "timm/")),
        ((*RUN, "--loss", "triplet", "--backbone", "small-conv/x"), ("no family",)),
        ((*RUN, "--loss", "triplet", "--backbone", "linear"), ("Linear", "vectors")),
        ((*RUN, "--loss", "triplet", "--protocol", "smal"), ("'smal'", "'small'")),
        ((*RUN, "--loss", "triplet", "--protocol", "none.toml"), ("none.toml", "read")),
        ((*RUN, "--loss", "arcface", "--miner", "random"), ("arcface", "no miner", "triplet")),
        ((*RUN, "--loss", "triplet", "--set", "loss.margn=1"), ("'margn'", "'margin'")),
        ((*RUN, "--loss", "triplet", "--set", "loss.margin=-1"), ("-1", "Uniform")),
        ((*RUN, "--loss", "triplet", "--set", "loss.margin=big"), ("'big'", "float")),
        ((*RUN, "--loss", "triplet", "--set", "margin=1"), ("loss.margin=0.3",)),
        ((*RUN[:3], "--loss", "triplet", "--executor", "locl"), ("'locl'", "'local'")),
        ((*RUN[:3], "--loss", "triplet", "--set", "executor.job=2"), ("'job'", "'jobs'")),
        ((*RUN[:3], "--loss", "triplet", "--set", "executr.jobs=2"), ("'executor'",)),
        ((*RUN, "--loss", "triplet", "--set", "los.margin=1"), ("'loss'",)),
        ((*RUN, "--loss", "triplet", "--set", "protocol.lenght.epochs=1"), ("length.epochs",)),
        ((*RUN, "--loss", "triplet", "--set", "protocol.length.epochs=0"), ("epochs", "1")),
        ((*RUN, "--loss", "triplet", "--set", "protocol.batch_size=30"), ("30", "multiple")),
        ((*RUN, "--loss", "triplet", "--seeds", "0"), ("seeds",)),
        ((*RUN, "--loss", "triplet", "--seeds", "two"), ("'two'", "seeds")),
        ((*RUN, "--loss", "triplet", "--device", "cuda:99"), ("cuda:99",)),
        ((*RUN, "--loss", "nowhere:Loss"), ("nowhere",)),
        (("run", "--dataset", "digts", "--loss", "triplet"), ("'digts'", "'digits'")),
        (("run", "--dataset", "mnist", "--loss", "triplet"), ("IDX files", "ylecun/mnist")),
        ((*RUN, "--loss", "triplet", "--data-dir", "nowhere"), ("--data-dir", "nowhere")),
        (("run", "--dataset", "folder", "--loss", "triplet"), ("folder:",)),
        (("run", "--dataset", "folder:nowhere", "--loss", "triplet"), ("nowhere",)),
        (("run", "--dataset", "./photos", "--loss", "triplet"), ("'folder:./photos'",)),
        (("run", "--dataset", "a/b c/photos", "--loss", "triplet"), ("'folder:a/b c/photos'",)),
        ((*RUN, "--loss", "triplet", "--backbone", "resnet18"), ("'timm/resnet18'",)),
        (
            (*RUN, "--loss", "triplet", "--backbone", "resnet50.a1_in1k"),
            ("'timm/resnet50.a1_in1k'",),
        ),
        ((*RUN, "--loss", "triplet", "--lr", "0.1"), ("--set protocol.optimiser.lr=VALUE",)),
        ((*RUN, "--loss", "triplet", "--epochs=3"), ("--set protocol.length.epochs=VALUE",)),
        ((*RUN, "--loss", "triplet", "--batch-size", "8"), ("--set protocol.batch_size=VALUE",)),
        ((*RUN, "--loss", "triplet", "--set", "lr=1"), ("--set protocol.optimiser.lr=VALUE",)),
        ((*RUN, "--loss", "triplet", "--set", "protocol.lr=1"), ("'optimiser.lr'",)),
        ((*RUN, "--loss", "triplet", "--set", "protocol.optimizer.lr=1"), ("'optimiser.lr'",)),
        (("run", "--suite", "missing.toml"), ("missing.toml",)),
        (("list", "lossses"), ("'losses'",)),
        (("show", "loss", "triplt"), ("'triplet'",)),
        (("show", "los", "triplet"), ("'loss'",)),
        (("show", "protocol", "smal"), ("'small'",)),
        (("publish",), ("runs", "dmlbench run")),
        (("run", "--dataset", "iris", "--loss", ""), ("--loss", "names nothing")),
        (("run", "--dataset", "iris", "--loss", "triplet,"), ("--loss", "names nothing")),
        (("run", "--dataset", "", "--loss", "triplet"), ("--dataset", "names nothing")),
        (("run", "--dataset", "iris", "--backbone", " "), ("--backbone", "names nothing")),
        (("run", "--dataset", "iris", "--seeds", "1000000000"), ("more than 10,000",)),
        (("run", "--dataset", "folder:", "--loss", "triplet"), ("folder:PATH",)),
        ((*RUN, "--baseline", "pixels", "--output", "x" * 300), ("File name too long", "--output")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_request_is_one_paragraph(dmlbench, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path.parent / "empty_cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    result = dmlbench(*arguments)
    assert result.code == 2, result
    for word in words:
        assert word in result.err, result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("datasets = [", ("TOML",)),
        ('datasets = ["digits"]\nlosss = ["triplet"]', ("losss", "'losses'")),
        ('datasets = []\nlosses = ["triplet"]', ("datasets",)),
        ('datasets = ["digits"]\nseeds = []', ("seeds",)),
        ("\0", ("TOML",)),
    ],
)
def test_an_unreadable_suite(dmlbench, tmp_path, text, words):
    (tmp_path / "suite.toml").write_text(text)
    result = dmlbench("run", "--suite", "suite.toml")
    assert result.code == 2
    for word in words:
        assert word in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["suite.toml"]


def test_folders_that_are_no_dataset(dmlbench, tmp_path):
    cases = {
        "single": {"ant": 3, "bee": 3, "cat": 3, "dog": 1},
        "alone": {"ant": 3},
        "empty": {},
    }
    for name, classes in cases.items():
        photos(tmp_path / name, classes)
    (tmp_path / "empty").mkdir(exist_ok=True)
    mixed = photos(tmp_path / "mixed", {"ant": 3, "bee": 3, "cat": 3, "dog": 3})
    (mixed / "bee" / "notes.txt").write_text("no image")
    broken = photos(tmp_path / "broken", {"ant": 3, "bee": 3, "cat": 3, "dog": 3})
    (broken / "cat" / "0.png").write_bytes(b"")
    words = {
        "single": "dog",
        "alone": "class",
        "empty": "class",
        "mixed": "notes.txt",
        "broken": "0.png",
    }
    before = sorted(tmp_path.rglob("*"))
    for name, word in words.items():
        result = dmlbench("run", "--dataset", f"folder:{name}", "--loss", "triplet")
        assert result.code == 2, name
        assert word in result.err, result.err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_that_can_not_be_written(dmlbench, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = dmlbench(*RUN, "--loss", "triplet", "--output", "file")
    assert result.code == 2
    assert "--output" in result.err
    assert (tmp_path / "file").read_text() == "in the way"
    (tmp_path / "leaderboards").write_text("in the way")
    result = dmlbench(*RUN, "--loss", "triplet")
    assert result.code == 2
    assert "leaderboards" in result.err
    assert not (tmp_path / "runs").exists()
