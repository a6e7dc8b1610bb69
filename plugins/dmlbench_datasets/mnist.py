"""MNIST, class-disjoint or closed-set.

There is no standard class-disjoint split of MNIST: ours learns from five digits and retrieves the
other five, and `split` rotates them, so that a result need not hang on one choice of digits.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from dmlbench import Choice, Dataset
from dmlbench_datasets import mnist_source
from dmlbench_datasets.arrays import image_dataset
from dmlbench_datasets.idx_set import rotated_classes

if TYPE_CHECKING:
    import datasets

NAMES = tuple("0123456789")
CLASS_SIZES = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}


class MNISTClosed(Dataset):
    """MNIST, 70,000 handwritten digits of 28x28 pixels: the official halves, all ten classes."""

    closed_set = True
    paper = (
        "Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to "
        "document recognition, Proceedings of the IEEE 86(11), 1998"
    )
    licence = "CC BY-SA 3.0, as the documentation of Keras states it"
    expected = {"train": (60_000, 10), "test": (10_000, 10)}

    def missing(self, data_dir: Path | None) -> str | None:
        """Return None if the files or the hub's set lie on this machine; uses no network."""
        return mnist_source.missing(data_dir)

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``, images ``[28, 28]``, from files before the hub."""
        splits = {}
        for half, (images, labels) in mnist_source.read(data_dir).items():
            chosen = np.isin(labels, self._digits(half))
            splits[half] = image_dataset(images[chosen], labels[chosen], NAMES)
        return splits

    def _digits(self, half: str) -> list[int]:
        return list(range(10))


class MNIST(MNISTClosed):
    """MNIST, handwritten digits of 28x28 pixels: learn five digits, retrieve the other five.

    ``train`` is taken from the official 60,000 training images, ``test`` from the 10,000 test
    images. Split s learns digits s-1 to s+3: split 1 learns 0-4 and retrieves 5-9.
    """

    closed_set = False
    expected = {"train": (30_596, 5), "test": (4_861, 5)}

    def __init__(self, *, split: Annotated[int, Choice(1, 2, 3, 4, 5)] = 1) -> None:
        self.split = split
        self.expected = {
            half: (sum(sizes[digit] for digit in self._digits(half)), 5)
            for half, sizes in CLASS_SIZES.items()
        }

    def _digits(self, half: str) -> list[int]:
        return rotated_classes(self.split, half)
