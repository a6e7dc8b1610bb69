"""The 8x8 handwritten digits that ship with scikit-learn: a set for trying things out in seconds.

They are the test half (13 writers) of the UCI set. A pixel counts the ink in a 4x4 block of the
scan, 0 to 16, and is stretched to 0-255 here.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlbench import Dataset
from dmlbench_datasets.arrays import image_dataset

if TYPE_CHECKING:
    import datasets

NAMES = tuple("0123456789")


class Digits(Dataset):
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels: learn 0-4, retrieve 5-9."""

    embedded = True
    paper = "E. Alpaydin and C. Kaynak, Cascading classifiers, Kybernetika 34(4), 1998"
    licence = "CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits)"
    expected = {"train": (901, 5), "test": (896, 5)}

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``, images ``[8, 8]``."""
        from sklearn.datasets import load_digits

        scans = load_digits()
        images = np.round(scans.images * (255 / 16)).astype(np.uint8)
        train = self._in_train(scans.target)
        return {
            "train": image_dataset(images[train], scans.target[train], NAMES),
            "test": image_dataset(images[~train], scans.target[~train], NAMES),
        }

    def _in_train(self, labels: np.ndarray) -> np.ndarray:
        return labels < 5


class DigitsClosed(Digits):
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels: all ten classes in both halves.

    Each class's 1st, 3rd, 5th… scan is learnt from, the 2nd, 4th, 6th… are retrieved.
    """

    closed_set = True
    expected = {"train": (901, 10), "test": (896, 10)}

    def _in_train(self, labels: np.ndarray) -> np.ndarray:
        train = np.zeros(len(labels), dtype=bool)
        for digit in range(10):
            train[np.flatnonzero(labels == digit)[::2]] = True
        return train
