"""Stanford Online Products: photos of 22,634 products from eBay, split by product.

``Ebay_train.txt`` and ``Ebay_test.txt`` are the official split. Equal halves (11,317 products each)
would differ from it by one product. The 12 kinds of product are the super-classes (`group`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dmlbench import Archive, DataError
from dmlbench_datasets.label_files import as_number, inside, read_rows
from dmlbench_datasets.mirrored import MirroredSet
from dmlbench_datasets.official import Listing

if TYPE_CHECKING:
    import datasets

FILES = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
COLUMNS = "image_id class_id super_class_id path"


class SOP(MirroredSet):
    """Stanford Online Products: learn 11,318 products, retrieve another 11,316."""

    title = "Stanford Online Products"
    folders = ("sop", "Stanford_Online_Products")
    mirror = "nyris/stanford-online-products-v1@24a1b9b8ec6c0b1fc4dd324f24b2d829413a6c69"
    refused: ClassVar = {"JamieSJS/stanford-online-products": "holds images resized to 224x224"}
    recall_at = (1, 10, 100, 1000)
    paper = (
        "H. O. Song, Y. Xiang, S. Jegelka and S. Savarese, Deep metric learning via lifted "
        "structured feature embedding, CVPR 2016, arXiv 1511.06452"
    )
    licence = "for research; the photos belong to their sellers"
    expected = {"train": (59_551, 11_318), "test": (60_502, 11_316)}
    archives = (
        Archive(
            "Stanford_Online_Products.zip",
            size=3_083_860_082,
            md5="7f73d41a2f44250d4779881525aea32e",
            sha256="b04fa78210e69fab050ce73939550e1cd0f96890bdd98ec9fee732c3b756ef48",
            homes=("ftp://cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",),
        ),
    )

    def absent(self, folder: Path) -> list[str]:
        """Return which of the two lists are not in `folder`."""
        return [name for name in FILES.values() if not (folder / name).is_file()]

    def read(self, folder: Path) -> Listing:
        """Return the images of both lists; classes are named by their official numbers."""
        paths, numbers, groups, splits = [], [], [], []
        for split, file in FILES.items():
            for where, (_, number, kind, path) in read_rows(
                folder / file, COLUMNS, header=[COLUMNS]
            ):
                paths.append(inside(path, where))
                numbers.append(as_number(number, where))
                groups.append(as_number(kind, where))
                splits.append(split)
        order = {number: place for place, number in enumerate(sorted(set(numbers)))}
        labels = [order[number] for number in numbers]
        return Listing(paths, labels, splits, list(map(str, order)), groups)

    def read_mirror(self, halves: Mapping[str, "datasets.Dataset"]) -> Listing:
        """Return the images of both halves; classes are named by eBay's numbers of the items."""
        items: list[str] = []
        paths: list[str] = []
        splits: list[str] = []
        for split, half in halves.items():
            if not {"item_id", "image_path"} <= set(half.column_names):
                raise DataError(f"The hub's copy of {self.title} lacks item_id or image_path.")
            items += map(str, half["item_id"])
            paths += map(str, half["image_path"])
            splits += [split] * len(half)
        order = {item: place for place, item in enumerate(sorted(set(items)))}
        kinds = [Path(path).parent.name for path in paths]
        groups = {kind: place for place, kind in enumerate(sorted(set(kinds)), start=1)}
        return Listing(
            [], [order[item] for item in items], splits, list(order), [groups[k] for k in kinds]
        )
