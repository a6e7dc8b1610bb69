"""Letters of four scripts in sixteen typefaces: the set that comes with dmlbench.

Made by ``make_glyphs.py``; ``glyphs_fonts_licences.txt`` holds the licences of the fonts.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from zipfile import BadZipFile

import numpy as np

from dmlbench import DataError, Dataset
from dmlbench_datasets.arrays import image_dataset

if TYPE_CHECKING:
    import datasets

ARCHIVE = Path(__file__).with_name("glyphs.npz")
FINGERPRINT = "?"


class Glyphs(Dataset):
    """Letters in 16 typefaces, 20x20 pixels, distorted: learn Latin, retrieve Greek and Cyrillic.

    Each of the 107 letters is there once in each typeface (DejaVu Sans, Sans Mono and Serif, STIX;
    regular, bold, italic, bold italic), turned, sheared, stretched, shifted and blurred a little at
    random. Letters that look alike are one class, or left out.
    """

    embedded = True
    paper = "dmlbench; fonts: DejaVu (Bitstream Vera) and STIX"
    licence = "Bitstream Vera (DejaVu) and SIL OFL 1.1 (STIX), see glyphs_fonts_licences.txt"
    expected: ClassVar = {"train": (848, 53), "test": (864, 54)}

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``, images ``[20, 20]``; classes share one numbering.

        Raises:
            DataError: the archive of the installation is absent or damaged.
        """
        try:
            with np.load(ARCHIVE) as archive:
                arrays = dict(archive)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise DataError(f"Can't read {ARCHIVE}: {error}. Install dmlbench again.") from error
        if (found := fingerprint(arrays)) != FINGERPRINT:
            raise DataError(
                f"{ARCHIVE} has fingerprint {found}, not {FINGERPRINT}. Install dmlbench again."
            )
        return {
            split: image_dataset(
                arrays[f"{split}_images"], arrays[f"{split}_labels"], list(arrays["classes"])
            )
            for split in ("train", "test")
        }


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of the arrays' names, types, shapes and content, whatever their packing."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
