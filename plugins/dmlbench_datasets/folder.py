"""The user's own images: ``folder:PATH``, one folder a class, split into disjoint classes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import numpy as np

from dmlbench import ConfigError, DataError, Dataset, IntUniform, Uniform

if TYPE_CHECKING:
    import datasets

LAYOUT = "Expected one folder a class with its images in it: PATH/class/image.jpg."
NO_SPLITS = (
    "folder: reads no split yet, it divides the classes itself. Name the folder that holds the "
    "classes (folder:PATH/train), or write a dataset class (docs/plugins.md)."
)
SPLIT_WORDS = re.compile(
    "train(ing)?|trn|val(id|idation)?|dev|test(ing)?|tst|eval(uation)?|holdout|query|queries|probe|"
    "gallery|unlabell?ed"
)


class Folder(Dataset):
    """Your own images, one folder a class; half of the classes to learn, half to retrieve.

    Images may lie in sub-folders of their class's folder, as long as no two classes have
    sub-folders of the same name: otherwise these may be the classes. Hidden files and ``Thumbs.db``
    are skipped; any other file must be an image. Which classes are learnt from depends on the
    sorted names of the classes, `train_fraction` and `split_seed` alone.
    """

    licence = "the user's own"

    def __init__(
        self,
        path: str,
        *,
        train_fraction: Annotated[float, Uniform(0.1, 0.9)] = 0.5,
        split_seed: Annotated[int, IntUniform(0, 2**31 - 1)] = 0,
    ) -> None:
        if not path:
            raise ConfigError("The dataset 'folder' needs the path of your images: folder:PATH.")
        self.root = Path(path).expanduser().absolute()
        self.train_fraction = train_fraction
        self.split_seed = split_seed

    def missing(self, data_dir: Path | None) -> str | None:
        """Return None if the folder is there; only `load` looks into it."""
        if self.root.is_dir():
            return None
        what = "is not a folder" if self.root.exists() else "does not exist"
        return f"{self.root} {what}. {LAYOUT}"

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return splits ``train`` and ``test``; ``image`` holds paths, sorted by class and name.

        Files are checked as far as possible without decoding them.

        Raises:
            DataError: fewer than 4 classes (2 to learn, 2 to retrieve), a class of fewer than 2
                images, folders that are splits rather than classes, files outside the class
                folders, or files that are not sound images; all of them are named.
        """
        if absent := self.missing(data_dir):
            raise DataError(absent)
        classes = _classes(self.root)
        bad = list[DataError]()
        for paths in classes.values():
            for path in paths:
                try:
                    _check_image(path)
                except DataError as error:
                    bad.append(error)
        DataError.raise_all(bad)
        order = np.random.default_rng(self.split_seed).permutation(len(classes))
        learnt = min(max(round(self.train_fraction * len(classes)), 2), len(classes) - 2)
        return {
            "train": _split(classes, sorted(order[:learnt])),
            "test": _split(classes, sorted(order[learnt:])),
        }


def _classes(root: Path) -> dict[str, list[Path]]:
    """Return the image paths of each class, both sorted."""
    entries = sorted(entry for entry in root.iterdir() if not _is_passed_over(entry.name))
    DataError.raise_all(
        [
            DataError(f"{entry} lies outside the class folders. {LAYOUT}")
            for entry in entries
            if not entry.is_dir()
        ]
    )
    if splits := _splits([entry.name for entry in entries]):
        raise DataError(f"{root} holds splits, not classes: {', '.join(splits)}. {NO_SPLITS}")
    classes = {entry.name: sorted(_files_below(entry)) for entry in entries}
    if shared := _shared_folders(root, classes):
        raise DataError(
            f"{root} has folders of the same name in several of its class folders: "
            f"{', '.join(shared)}. So these may be the classes, or splits. {NO_SPLITS}"
        )
    DataError.raise_all(
        [
            DataError(
                f"Class {name!r} has {len(paths)} image(s) in {root / name}, and retrieval needs 2 "
                "of each class. Add images or take the folder away."
            )
            for name, paths in classes.items()
            if len(paths) < 2
        ]
    )
    if len(classes) < 4:
        raise DataError(
            f"{root} has {len(classes)} class folder(s), and 4 are needed: 2 to learn from, 2 to "
            f"retrieve in. {LAYOUT}"
        )
    return classes


def _splits(names: list[str]) -> list[str]:
    """Return those of the names that are splits: two or more that differ only in such a word.

    >>> _splits(["Train", "val", "zebra"]), _splits(["train2017", "test2017"])
    (['Train', 'val'], ['train2017', 'test2017'])
    >>> _splits(["test tube", "steam train", "query"])
    []
    """
    named: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        words = re.findall(r"[^\W\d_]+|\d+", name.lower())
        for place, word in enumerate(words):
            if SPLIT_WORDS.fullmatch(word):
                named.setdefault((*words[:place], "", *words[place + 1 :]), []).append(name)
    return next((alike for alike in named.values() if len(alike) > 1), [])


def _shared_folders(root: Path, classes: dict[str, list[Path]]) -> list[str]:
    """Return the names of folders with images that lie in two or more class folders."""
    homes: dict[str, set[str]] = {}
    for name, paths in classes.items():
        for path in paths:
            if inner := path.relative_to(root / name).parts[:-1]:
                homes.setdefault(inner[0], set()).add(name)
    return sorted(folder for folder, names in homes.items() if len(names) > 1)


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name == "Thumbs.db"


def _files_below(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> NoReturn:
        raise DataError(f"Can't list {error.filename}: {error.strerror}.") from error

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        here = Path(parent).resolve()
        folders[:] = [name for name in folders if not _is_passed_over(name)]
        for name in folders:
            if Path(parent, name).resolve() in (here, *here.parents):
                raise DataError(f"{Path(parent, name)} links back to a folder above. Take it away.")
        yield from (Path(parent, name) for name in names if not _is_passed_over(name))


def _check_image(path: Path) -> None:
    from PIL import Image

    if not path.is_file():
        raise DataError(f"{path} is no regular file, or a broken link. Take it away.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes). Replace it or take it away.")
    try:
        str(path).encode()
        with Image.open(path) as image:
            image.verify()
    except UnicodeEncodeError as error:
        raise DataError(f"The name of {str(path)!r} is not UTF-8. Rename it.") from error
    except (
        OSError,
        SyntaxError,  # Pillow's word for a damaged PNG
        ValueError,
        NotImplementedError,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(
            f"{path} is not a readable image: {error}. Replace it or take it away."
        ) from error


def _split(classes: dict[str, list[Path]], chosen: list[int]) -> "datasets.Dataset":
    from datasets import ClassLabel, Dataset, Features, Image

    names = list(classes)
    items = [(str(path), label) for label in chosen for path in classes[names[label]]]
    paths, labels = zip(*items, strict=True)
    return Dataset.from_dict(
        {"image": list(paths), "label": list(labels)},
        features=Features(image=Image(), label=ClassLabel(names=names)),
    )
