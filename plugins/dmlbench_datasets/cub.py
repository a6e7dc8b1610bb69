"""CUB-200-2011: whole photos of 200 species of birds, split by class.

Classes 1 to 100 are learnt and 101 to 200 retrieved. ``train_test_split.txt``, for classification,
puts every class into both halves, so that no class would be unseen; it is not read. Nor are the
bounding boxes: figures on cropped birds are another task.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dmlbench import Archive, DataError
from dmlbench_datasets.label_files import as_number, inside, read_rows
from dmlbench_datasets.mirrored import MirroredSet, class_labels
from dmlbench_datasets.official import Listing

if TYPE_CHECKING:
    import datasets

LAST_LEARNT = 100


class CUB(MirroredSet):
    """CUB-200-2011, photos of birds: learn 100 species, retrieve the other 100.

    No revision of the hub's copies is known to be the official images, so `hub` has to name one:
    ``bentrevett/caltech-ucsd-birds-200-2011@REVISION``.
    """

    title = "CUB-200-2011"
    folders = ("cub", "CUB_200_2011")
    paper = (
        "C. Wah, S. Branson, P. Welinder, P. Perona and S. Belongie, The Caltech-UCSD "
        "Birds-200-2011 Dataset, Technical Report CNS-TR-2011-001, California Institute of "
        "Technology, 2011"
    )
    licence = "for research; the photos belong to their photographers"
    expected = {"train": (5_864, 100), "test": (5_924, 100)}
    archives = (
        Archive(
            "CUB_200_2011.tgz",
            size=1_150_585_339,
            md5="97eceeb196236b17998738112f37df78",
            sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            homes=("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",),
        ),
    )

    def absent(self, folder: Path) -> list[str]:
        """Return which of the official text files and folders are not in `folder`."""
        names = ("images.txt", "image_class_labels.txt", "classes.txt", "images")
        return [name for name in names if not (folder / name).exists()]

    def read(self, folder: Path) -> Listing:
        """Return the images of ``images.txt``, labelled by ``image_class_labels.txt``."""
        names, paths, classes = (
            _numbered(folder / f"{file}.txt", columns)
            for file, columns in (
                ("classes", "class_id class_name"),
                ("images", "image_id image_name"),
                ("image_class_labels", "image_id class_id"),
            )
        )
        order = {number: place for place, number in enumerate(sorted(names))}
        labels, splits, where = [], [], f"{folder / 'image_class_labels.txt'}"
        for image in paths:
            if image not in classes:
                raise DataError(f"{where} has no class of image {image}, which images.txt lists.")
            number = as_number(classes[image], f"{where}, image {image}")
            if number not in order:
                raise DataError(f"{where}: classes.txt does not name class {number}.")
            labels.append(order[number])
            splits.append("train" if number <= LAST_LEARNT else "test")
        return Listing(
            [f"images/{inside(path, str(folder / 'images.txt'))}" for path in paths.values()],
            labels,
            splits,
            [names[number] for number in order],
        )

    def read_mirror(self, halves: Mapping[str, "datasets.Dataset"]) -> Listing:
        """Return the images of both official halves, split by class."""
        labels, names = class_labels(halves, "label", self.title)
        splits = ["train" if label < LAST_LEARNT else "test" for label in labels]
        return Listing([], labels, splits, names)


def _numbered(path: Path, columns: str) -> dict[int, str]:
    """Return what a file says about each number.

    Raises:
        DataError: a number occurs twice.
    """
    rows: dict[int, str] = {}
    for where, (text, value) in read_rows(path, columns):
        number = as_number(text, where)
        if number in rows:
            raise DataError(f"{where}: {number} stands there a second time.")
        rows[number] = value
    return rows
