"""Cars196 (Stanford Cars): whole photos of 196 models of cars, split by class.

The two official halves are merged; then classes 1 to 98 are learnt and 99 to 196 retrieved. The
halves themselves (``cars_train``, ``cars_test``) have every class in both, and bounding boxes are
not read: figures on cropped cars are another task.

The set was distributed in two forms with the same images: ``car_ims`` with ``cars_annos.mat``, and
``cars_train`` and ``cars_test`` with a devkit, where the classes of ``cars_test`` are in a file of
their own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dmlbench import Archive, DataError
from dmlbench_datasets.label_files import as_number, inside, read_matlab, read_matlab_columns
from dmlbench_datasets.mirrored import MirroredSet, class_labels
from dmlbench_datasets.official import Listing

if TYPE_CHECKING:
    import datasets

LAST_LEARNT = 98
WHOLE = "cars_annos.mat"
NAMES = "devkit/cars_meta.mat"
HALVES = {
    "cars_train": ("devkit/cars_train_annos.mat",),
    "cars_test": ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat"),
}


class Cars(MirroredSet):
    """Cars196, photos of cars: learn 98 models, retrieve the other 98."""

    title = "Cars196"
    folders = ("cars", "stanford_cars")
    needed = (
        "car_ims.tgz and cars_annos.mat, or cars_train.tgz, cars_test.tgz, car_devkit.tgz and "
        "cars_test_annos_withlabels.mat"
    )
    mirror = "tanganke/stanford_cars@9abf6cf7d6dfa7b95152a0d6e791ea9435b47a40"
    paper = (
        "J. Krause, M. Stark, J. Deng and L. Fei-Fei, 3D object representations for fine-grained "
        "categorization, 3dRR workshop at ICCV 2013"
    )
    licence = "for research; the photos belong to their photographers"
    expected = {"train": (8_054, 98), "test": (8_131, 98)}
    archives = (
        Archive(
            "cars_train.tgz",
            size=979_269_282,
            md5="065e5b463ae28d29e77c1b4b166cfe61",
            sha256="512b227b30e2f0a8aab9e09485786ab4479582073a144998da74d64b801fd288",
        ),
        Archive(
            "cars_test.tgz",
            size=977_350_468,
            md5="4ce7ebf6a94d07f1952d94dd34c4d501",
            sha256="bffea656d6f425cba3c91c6d83336e4c5f86c6cffd8975b0f375d3a10da8e243",
        ),
        Archive(
            "car_devkit.tgz",
            size=330_960,
            md5="c3b158d763b6e2245038c8ad08e45376",
            sha256="b97deb463af7d58b6bfaa18b2a4de9829f0f79e8ce663dfa9261bf7810e9accd",
        ),
        Archive(
            "cars_test_annos_withlabels.mat",
            size=185_758,
            md5="b0a2b23655a3edd16d84508592a98d10",
            sha256="790f75be8ea34eeded134cc559332baf23e30e91367e9ddca97d26ed9b895f05",
        ),
        Archive("car_ims.tgz", md5="d5c8f0aa497503f355e17dc7886c3f14"),
        Archive(WHOLE, size=394_471, md5="b407c6086d669747186bd1d764ff9dbc"),
    )

    def absent(self, folder: Path) -> list[str]:
        """Return what `folder` lacks of the form that it mostly has."""
        if (folder / "car_ims").is_dir():
            return [] if (folder / WHOLE).is_file() else [WHOLE]
        halves = [half for half in HALVES if (folder / half).is_dir()]
        if not halves:
            return ["car_ims (or cars_train and cars_test)", f"{WHOLE} (or devkit)"]
        names = [] if (folder / NAMES).is_file() else [NAMES]
        unlabelled = [HALVES[half][0] for half in halves if _labels_of(folder, half) is None]
        return names + (unlabelled if len(unlabelled) == len(halves) else [])

    def read(self, folder: Path) -> Listing:
        """Return the images that the ``.mat`` files list, of both halves."""
        lacking: list[str] = []
        found: list[tuple[str, int]] = []
        if (folder / "car_ims").is_dir():
            names = read_matlab(folder / WHOLE, "class_names")
            for where, (path, number) in read_matlab_columns(
                folder / WHOLE, "relative_im_path", "class"
            ):
                found.append((inside(str(path), where), as_number(number, where)))
        else:
            names = read_matlab(folder / NAMES, "class_names")
            for half in HALVES:
                if not (folder / half).is_dir():
                    lacking.append(half)
                file = _labels_of(folder, half)
                if file is None:
                    lacking.append(f"{HALVES[half][0]} (the classes of {half})")
                    continue
                for where, (path, number) in read_matlab_columns(file, "fname", "class"):
                    found.append((f"{half}/{inside(str(path), where)}", as_number(number, where)))
        class_names = [str(name).strip() for name in names.reshape(-1)]
        if any(number > len(class_names) for _, number in found):
            raise DataError(f"{folder} has images of classes that its class names leave out.")
        return Listing(
            [path for path, _ in found],
            [number - 1 for _, number in found],
            ["train" if number <= LAST_LEARNT else "test" for _, number in found],
            class_names,
            lacking=tuple(lacking),
        )

    def read_mirror(self, halves: Mapping[str, "datasets.Dataset"]) -> Listing:
        """Return the images of both official halves, split by class."""
        labels, names = class_labels(halves, "label", self.title)
        splits = ["train" if label < LAST_LEARNT else "test" for label in labels]
        return Listing([], labels, splits, names)


def _labels_of(folder: Path, half: str) -> Path | None:
    """Return the file with the classes of a half; that of the devkit's test half has none."""
    files = [folder / name for name in HALVES[half] if (folder / name).is_file()]
    return files[0] if files else None
