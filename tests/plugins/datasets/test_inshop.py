"""In-Shop Clothes Retrieval: train, query and gallery of the official partition."""

from pathlib import Path

import pytest
from support.official_sets import write_inshop

from dmlbench.data.items import load_data
from dmlbench_datasets.inshop import InShop

pytestmark = pytest.mark.usefixtures("whole")
FOLDER = "In-shop Clothes Retrieval Benchmark"


def test_queries_and_gallery_share_items_that_are_not_learnt(tmp_path: Path) -> None:
    write_inshop(tmp_path)
    data = load_data(InShop(), tmp_path, 8)
    items = {
        split: {data.class_names[label] for label in part.labels}
        for split, part in data.splits.items()
    }
    assert items == {
        "train": {"id_00000000", "id_00000001"},
        "query": {"id_00000002", "id_00000003"},
        "gallery": {"id_00000002", "id_00000003"},
    }


@pytest.mark.parametrize("place", ["", "Img", "Img/img"])
def test_photos_are_found_wherever_their_archive_was_unpacked(place: str, tmp_path: Path) -> None:
    write_inshop(tmp_path)
    root = tmp_path / FOLDER
    (root / "Img" / "img").rename(root / "photos")
    (root / place).mkdir(parents=True, exist_ok=True)
    (root / "photos").rename(root / place / "img")
    assert InShop().missing(tmp_path) is None


def test_the_partition_may_lie_beside_the_photos(tmp_path: Path) -> None:
    write_inshop(tmp_path)
    root = tmp_path / FOLDER
    (root / "Eval" / "list_eval_partition.txt").rename(root / "list_eval_partition.txt")
    assert InShop().missing(tmp_path) is None
