"""Omniglot: handwritten characters of 50 alphabets, 20 drawings each.

The authors' background set (30 alphabets) is learnt and their evaluation set (20 others) retrieved.
Alphabets are the super-classes (`group`). The drawings, black ink on white at 105x105 pixels, come
as bright ink on black, as MNIST's digits do, at `side` pixels: on white paper all are much alike.

``part=small`` learns the authors' small background set 1 and retrieves set 2. They were made as
alternatives: Greek and Latin, 50 characters, are in both, drawing by drawing. So these two are left
out of what is learnt, unless ``overlap=true`` says otherwise: a third of test is then not unseen.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from dmlbench import Archive, Choice, DataError, IntUniform, OnlyWith
from dmlbench_datasets.arrays import image_dataset
from dmlbench_datasets.official import Listing, OfficialSet

if TYPE_CHECKING:
    import datasets

PARTS = {
    "full": {"train": "images_background", "test": "images_evaluation"},
    "small": {"train": "images_background_small1", "test": "images_background_small2"},
}
SMALL = {False: {"train": (1_720, 86), "test": (3_120, 156)}}
SMALL[True] = {**SMALL[False], "train": (2_720, 136)}
HOME = "https://github.com/brendenlake/omniglot/raw/master/python"


class Omniglot(OfficialSet):
    """Omniglot, handwritten characters: learn 30 alphabets, retrieve those of 20 others."""

    title = "Omniglot"
    folders = ("omniglot", "omniglot-py")
    sizes_vary = False
    paper = (
        "B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum, Human-level concept learning through "
        "probabilistic program induction, Science 350(6266), 2015"
    )
    licence = "MIT"
    expected = {"train": (19_280, 964), "test": (13_180, 659)}
    archives = (
        Archive(
            "images_background.zip",
            size=9_464_212,
            md5="68d2efa1b9178cc56df9314c21c6e718",
            sha256="ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
            homes=(f"{HOME}/images_background.zip",),
        ),
        Archive(
            "images_evaluation.zip",
            size=6_462_886,
            md5="6b91aef0f799c5bb55b94e3f2daec811",
            sha256="1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
            homes=(f"{HOME}/images_evaluation.zip",),
        ),
        Archive(
            "images_background_small1.zip",
            size=1_319_022,
            sha256="f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
            homes=(f"{HOME}/images_background_small1.zip",),
        ),
        Archive(
            "images_background_small2.zip",
            size=1_580_917,
            sha256="3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
            homes=(f"{HOME}/images_background_small2.zip",),
        ),
    )

    def __init__(
        self,
        *,
        part: Annotated[str, Choice("full", "small")] = "full",
        overlap: Annotated[bool, OnlyWith("part", "small")] = False,
        side: Annotated[int, IntUniform(16, 105)] = 32,
        partial: bool = False,
    ) -> None:
        if part == "small":
            self.expected = SMALL[overlap]
        super().__init__(partial=partial)
        self.parts = PARTS[part]
        self.needed = " and ".join(f"{name}.zip" for name in self.parts.values())
        self.overlap = overlap
        self.closed_set = overlap
        self.side = side

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``, images ``[side, side]``, ink bright on dark.

        Raises:
            DataError: the set is absent, damaged, or a part of it where `partial` is not set.
        """
        return {split: self._drawn(table) for split, table in super().load(data_dir).items()}

    def _drawn(self, table: "datasets.Dataset") -> "datasets.Dataset":
        from datasets import Image

        names = table.features["label"].names
        paths = [item["path"] for item in table.cast_column("image", Image(decode=False))["image"]]
        drawings, damaged = [], list[DataError]()
        for path in paths:
            try:
                drawings.append(_ink(path, self.side))
            except DataError as error:
                damaged.append(error)
        DataError.raise_all(damaged)
        images = np.stack(drawings)
        return image_dataset(
            images, np.array(table["label"][:]), names, np.array(table["group"][:])
        )

    def absent(self, folder: Path) -> list[str]:
        """Return which of the two folders of alphabets are not in `folder`."""
        return [name for name in self.parts.values() if not (folder / name).is_dir()]

    def read(self, folder: Path) -> Listing:
        """Return all drawings, sorted by alphabet, character and name."""
        rows = [
            (split, "/".join(path.parts[-3:-1]), f"{name}/{'/'.join(path.parts[-3:])}")
            for split, name in self.parts.items()
            for path in sorted((folder / name).glob("*/*/*.png"))
        ]
        retrieved = {character for split, character, _ in rows if split == "test"}
        if not self.overlap:
            rows = [row for row in rows if row[0] == "test" or row[1] not in retrieved]
        characters = sorted({character for _, character, _ in rows})
        order = {character: place for place, character in enumerate(characters)}
        alphabets = sorted({character.split("/")[0] for character in characters})
        return Listing(
            [path for _, _, path in rows],
            [order[character] for _, character, _ in rows],
            [split for split, _, _ in rows],
            characters,
            [alphabets.index(character.split("/")[0]) for _, character, _ in rows],
        )


def _ink(path: str, side: int) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as drawing:
            grey = ImageOps.invert(drawing.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"The image {path} is damaged: {error}") from error
    return np.asarray(grey.resize((side, side), Image.Resampling.BICUBIC))
