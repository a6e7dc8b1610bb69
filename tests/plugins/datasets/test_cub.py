"""CUB-200-2011: the split by class, and what is never used."""

from pathlib import Path

import pytest
from support.official_sets import write_cub

from dmlbench_datasets.cub import CUB

pytestmark = pytest.mark.usefixtures("whole")


def test_classes_1_to_100_are_learnt_and_the_others_retrieved(tmp_path: Path) -> None:
    write_cub(tmp_path)
    splits = CUB().load(tmp_path)
    names = {
        split: {table.features["label"].int2str(label) for label in table["label"]}
        for split, table in splits.items()
    }
    assert names == {
        "train": {"001.Albatross", "100.Pelican"},
        "test": {"101.Pewee", "200.Wren"},
    }


def test_the_split_for_classification_and_the_boxes_have_no_say(tmp_path: Path) -> None:
    write_cub(tmp_path)
    before = [table["label"][:] for table in CUB().load(tmp_path).values()]
    (tmp_path / "CUB_200_2011" / "train_test_split.txt").write_text("nonsense\n")
    (tmp_path / "CUB_200_2011" / "bounding_boxes.txt").unlink()
    assert [table["label"][:] for table in CUB().load(tmp_path).values()] == before


def test_labels_go_by_the_image_s_number_whatever_the_order_of_lines(tmp_path: Path) -> None:
    write_cub(tmp_path)
    path = tmp_path / "CUB_200_2011" / "image_class_labels.txt"
    before = CUB().load(tmp_path)["test"]["label"][:]
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    assert CUB().load(tmp_path)["test"]["label"][:] == before
