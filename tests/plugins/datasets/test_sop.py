"""Stanford Online Products: the official lists, and the kinds of products as super-classes."""

from pathlib import Path

import pytest
from support.official_sets import write_sop

from dmlbench import ConfigError
from dmlbench_datasets.sop import SOP

pytestmark = pytest.mark.usefixtures("whole")


def test_the_lists_decide_which_products_are_learnt(tmp_path: Path) -> None:
    write_sop(tmp_path)
    splits = SOP().load(tmp_path)
    names = {
        split: table.features["label"].int2str(table["label"][:]) for split, table in splits.items()
    }
    assert names == {"train": ["1", "1", "2", "2"], "test": ["3", "3", "4", "4", "5", "5"]}


def test_kinds_of_products_are_super_classes_by_their_official_number(tmp_path: Path) -> None:
    write_sop(tmp_path)
    splits = SOP().load(tmp_path)
    assert splits["train"]["group"][:] == [2, 2, 1, 1]
    assert splits["test"]["group"][:] == [2, 2, 1, 1, 2, 2]


def test_the_resized_copy_of_the_hub_is_refused() -> None:
    with pytest.raises(ConfigError, match="resized to 224x224"):
        SOP(hub="JamieSJS/stanford-online-products@" + "0" * 40)
