"""Omniglot: characters of whole alphabets, and two small sets that overlap."""

from pathlib import Path

import pytest
from official_sets import write_omniglot

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


def test_advice_names_the_archives_of_the_part(tmp_path: Path) -> None:
    assert "small1.zip and images_background_small2.zip" in str(
        Omniglot(part="small").missing(tmp_path)
    )
    assert "small" not in str(Omniglot().missing(tmp_path))
