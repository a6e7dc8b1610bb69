"""The four IDX files of a set such as MNIST, wherever they lie and however they are packed.

Several sets have files of these names, so a file is recognised by the md5 of its unpacked content.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmlbench import DataError
from dmlbench_datasets.idx import parse_idx, read_bytes

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
LABELS = tuple(labels for _, labels in FILES.values())


@dataclass(frozen=True)
class IdxSet:
    """Where the files of a set may be, and which they are.

    Attributes:
        title: what the field calls it.
        folders: within the data folder; the files may also lie in the data folder itself.
        md5: of each file of `FILES`, unpacked.
    """

    title: str
    folders: tuple[str, ...]
    md5: Mapping[str, str]

    def files(self, data_dir: Path | None) -> dict[str, Path]:
        """Return the path of each file, from the first folder with all of them, else with any."""
        if data_dir is None:
            return {}
        places = [_idx_files(data_dir / name) for name in self.folders]
        here = _idx_files(data_dir)
        if data_dir.name in {Path(name).parts[0] for name in self.folders} or self._are_ours(here):
            places.append(here)
        return max(places, key=len)  # the first of the longest

    def incomplete(self, files: Mapping[str, Path]) -> str | None:
        """Return which of the files are absent where some are, None if all are there."""
        absent = [name for name in self.md5 if name not in files]
        if not absent:
            return None
        folder = next(iter(files.values())).parent
        names = ", ".join(absent)
        return f"{self.title} is incomplete in {folder}: put {names} there, .gz or unpacked."

    def read(self, files: Mapping[str, Path]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return images ``[N, 28, 28]`` and labels ``[N]``, both uint8, of ``train`` and ``test``.

        Raises:
            DataError: a file is absent, damaged or not the official one; all of them are named.
        """
        if absent := self.incomplete(files):
            raise DataError(absent)
        arrays, wrong = {}, list[DataError]()
        for name, path in files.items():
            try:
                content = read_bytes(path)
                accepted = path.name in _accepted(path.parent)
                arrays[name] = (
                    parse_idx(content, str(path))
                    if accepted
                    else self.verified(content, name, str(path))
                )
            except DataError as error:
                wrong.append(error)
        DataError.raise_all(wrong)
        return {half: (arrays[images], arrays[labels]) for half, (images, labels) in FILES.items()}

    def verified(self, content: bytes, name: str, source: str) -> np.ndarray:
        """Return the array in a file's content, unpacked.

        Raises:
            DataError: it is damaged, or not the official one; `source` says where it is from.
        """
        array = parse_idx(content, source)
        if (md5 := _md5(content)) != self.md5[name]:
            raise DataError(
                f"{source} is not {self.title}'s official {name}: md5 {md5} unpacked, not "
                f"{self.md5[name]}. Other sets have files of the same name; put {self.title}'s "
                f"into {self.folders[0]}/ within the data folder."
            )
        return array

    def _are_ours(self, files: Mapping[str, Path]) -> bool:
        """Return whether one of the label files, which are small, is this set's."""
        for name in LABELS:
            try:
                if name in files and _md5(read_bytes(files[name])) == self.md5[name]:
                    return True
            except DataError:
                continue
        return False


def rotated_classes(split: int, half: str) -> list[int]:
    """Return the five of the ten classes that are learnt (``train``) or retrieved (``test``).

    >>> rotated_classes(1, "train"), rotated_classes(4, "test")
    ([0, 1, 2, 3, 4], [8, 9, 0, 1, 2])
    """
    first = split - 1 if half == "train" else split + 4
    return [number % 10 for number in range(first, first + 5)]


def _idx_files(folder: Path) -> dict[str, Path]:
    return {
        name: path
        for half in FILES.values()
        for name in half
        for path in (folder / f"{name}.gz", folder / name)
        if path.is_file()
    }


def _accepted(folder: Path) -> list[str]:
    """Return the files that ``dmlbench data prepare --allow-unverified`` took as they are."""
    try:
        sources = json.loads((folder / "prepared.json").read_text())["sources"]
        return [source["name"] for source in sources if not source["verified"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
