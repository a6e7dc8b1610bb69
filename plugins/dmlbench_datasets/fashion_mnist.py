"""Fashion-MNIST, class-disjoint: learn five kinds of clothes, retrieve the other five.

As with MNIST, there is no standard class-disjoint split: ours rotates, see `split`. The four IDX
files have the names of MNIST's, so they are recognised by their content. No revision or checksum of
the pixels is known for the hub's copies, so the hub is not used.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from dmlbench import Archive, Choice, DataError, Dataset
from dmlbench_datasets.arrays import image_dataset
from dmlbench_datasets.idx_set import IdxSet, rotated_classes

if TYPE_CHECKING:
    import datasets

NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
SOURCE = IdxSet(
    title="Fashion-MNIST",
    folders=("fashion-mnist", "FashionMNIST/raw"),
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
)


class FashionMNIST(Dataset):
    """Fashion-MNIST, 28x28 pictures of clothes: learn five kinds, retrieve the other five.

    ``train`` is taken from the official 60,000 training images, ``test`` from the 10,000 test
    images. Split s learns classes s-1 to s+3: split 1 learns 0-4 and retrieves 5-9.
    """

    paper = (
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking "
        "machine learning algorithms, 2017, arXiv 1708.07747"
    )
    licence = "MIT"
    expected = {"train": (30_000, 5), "test": (5_000, 5)}
    archives = tuple(
        Archive(f"{name}.gz", unpacked_md5=md5, homes=(f"{HOME}/{name}.gz",))
        for name, md5 in SOURCE.md5.items()
    )

    def __init__(self, *, split: Annotated[int, Choice(1, 2, 3, 4, 5)] = 1) -> None:
        self.split = split

    def missing(self, data_dir: Path | None) -> str | None:
        """Return None if the four files are there, else how to get them."""
        if files := SOURCE.files(data_dir):
            return SOURCE.incomplete(files)
        where = f"in {data_dir}" if data_dir else "here: name your data folder by --data-dir"
        return (
            f"Fashion-MNIST is not {where}. Put its four files ({', '.join(SOURCE.md5)}; .gz or "
            "unpacked) into fashion-mnist/ within the data folder; they were to be had at "
            f"{HOME}, and are in Debian's package dataset-fashion-mnist, whose folder "
            "/usr/share/datasets/fashion-mnist may also be the data folder."
        )

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``, images ``[28, 28]``.

        Raises:
            DataError: a file is absent, damaged or not the official one.
        """
        if absent := self.missing(data_dir):
            raise DataError(absent)
        halves = SOURCE.read(SOURCE.files(data_dir))
        splits = {}
        for half, (images, labels) in halves.items():
            chosen = np.isin(labels, rotated_classes(self.split, half))
            splits[half] = image_dataset(images[chosen], labels[chosen], NAMES)
        return splits
