"""Letters of three scripts in sixteen typefaces: the set that comes with dmlbench.

Made by ``make_glyphs.py``; ``glyphs_fonts_licences.txt`` holds the licences of the fonts.
"""

from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import category

import numpy as np

from dmlbench import DataError, Dataset
from dmlbench_datasets.arrays import image_dataset

if TYPE_CHECKING:
    import datasets

ARCHIVE = Path(__file__).with_name("glyphs.npz")
_KINDS = ("Nd", "Lu", "Ll")  # Unicode's categories of digits, capitals and small letters
FINGERPRINT = "0e465b43f1d501d20a42568d574988ceee0bc1028b0f4b3ffdc4a45e49aec13d"


class Glyphs(Dataset):
    """Letters in 16 typefaces, distorted, 20x20 pixels: learn Latin, retrieve Greek and Cyrillic.

    Each of the 107 letters and digits appears once in each typeface (DejaVu Sans, Sans Mono and
    Serif, STIX; regular, bold, italic, bold italic), turned, sheared, stretched, shifted and
    blurred a little at random. Letters that look alike are one class, or left out. Super-classes
    are digits, capitals and small letters.
    """

    embedded = True
    paper = "dmlbench; fonts: DejaVu (Bitstream Vera) and STIX"
    licence = "Bitstream Vera (DejaVu) and SIL OFL 1.1 (STIX), see glyphs_fonts_licences.txt"
    expected = {"train": (848, 53), "test": (864, 54)}

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``, images ``[20, 20]``; classes share one numbering.

        Raises:
            DataError: the archive of the installation is absent or damaged.
        """
        try:
            content = ARCHIVE.read_bytes()
        except OSError as error:
            raise DataError(f"Can't read {ARCHIVE}: {error}. Install dmlbench again.") from error
        if (found := sha256(content).hexdigest()) != FINGERPRINT:
            raise DataError(
                f"{ARCHIVE} is damaged: its sha256 is {found}, not {FINGERPRINT}. "
                "Install dmlbench again."
            )
        with np.load(BytesIO(content)) as archive:
            arrays = dict(archive)
        classes = arrays["classes"].tolist()
        kinds = np.array([_KINDS.index(category(letter)) for letter in classes])
        return {
            split: image_dataset(
                arrays[f"{split}_images"],
                arrays[f"{split}_labels"],
                classes,
                kinds[arrays[f"{split}_labels"]],
            )
            for split in ("train", "test")
        }
