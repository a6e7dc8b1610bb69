"""Omniglot: characters of whole alphabets, and two small sets that overlap."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.official_sets import write_omniglot

from dmlbench import ConfigError, DataError
from dmlbench.components.hyperparameters import resolve
from dmlbench.data.items import load_data
from dmlbench_datasets import omniglot
from dmlbench_datasets.omniglot import Omniglot

pytestmark = pytest.mark.usefixtures("whole")


def characters(dataset: Omniglot, folder: Path) -> dict[str, set[str]]:
    data = load_data(dataset, folder, 8)
    return {
        split: {data.class_names[label] for label in items.labels}
        for split, items in data.splits.items()
    }


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = {"train": (6, 2), "test": (6, 2)}
    monkeypatch.setattr(omniglot, "SMALL", {False: apart, True: {**apart, "train": (9, 3)}})


def test_background_is_learnt_and_evaluation_retrieved(tmp_path: Path) -> None:
    write_omniglot(tmp_path)
    assert characters(Omniglot(), tmp_path) == {
        "train": {"Greek/character01", "Latin/character01"},
        "test": {"Tengwar/character01", "Tengwar/character02"},
    }


def test_alphabets_are_super_classes(tmp_path: Path) -> None:
    write_omniglot(tmp_path)
    splits = Omniglot().load(tmp_path)
    assert splits["train"]["group"][:] == [0, 0, 0, 1, 1, 1]
    assert splits["test"]["group"][:] == [2] * 6


def test_characters_of_both_small_sets_are_not_learnt(tmp_path: Path) -> None:
    write_omniglot(tmp_path)
    assert characters(Omniglot(part="small"), tmp_path) == {
        "train": {"Korean/character01", "Korean/character02"},
        "test": {"Greek/character01", "Tagalog/character01"},
    }


def test_the_overlap_may_be_asked_for(tmp_path: Path) -> None:
    write_omniglot(tmp_path)
    dataset = Omniglot(part="small", overlap=True)
    assert dataset.closed_set
    assert not Omniglot.closed_set
    assert "Greek/character01" in characters(dataset, tmp_path)["train"]
    with pytest.raises(ConfigError, match=r"overlap would change nothing.*part=small"):
        resolve(Omniglot, "dataset", {"overlap": "true"})


def test_advice_names_the_archives_of_the_part(tmp_path: Path) -> None:
    assert "small1.zip and images_background_small2.zip" in str(
        Omniglot(part="small").missing(tmp_path)
    )
    assert "small" not in str(Omniglot().missing(tmp_path))


def test_ink_is_bright_on_dark_at_the_side_asked_for(tmp_path: Path) -> None:
    write_omniglot(tmp_path)
    path = next((tmp_path / "images_background").glob("*/*/*.png"))
    paper = Image.new("1", (105, 105), 1)
    paper.paste(0, (30, 30, 60, 60))
    paper.save(path)
    images = np.stack(Omniglot(side=21).load(tmp_path)["train"].with_format("numpy")["image"][:])
    assert images.shape[1:] == (21, 21)
    (drawn,) = [image for image in images if image[9, 9] == 255 and image[0, 0] == 0]
    assert drawn[7:11, 7:11].min() == 255
    assert drawn[14:].max() == drawn[:4].max() == 0


def test_a_damaged_drawing_is_named(tmp_path: Path) -> None:
    write_omniglot(tmp_path)
    path = next((tmp_path / "images_background").glob("*/*/*.png"))
    path.write_bytes(b"")
    with pytest.raises(DataError, match=path.name):
        Omniglot().load(tmp_path)
