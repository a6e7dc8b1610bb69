"""The encoded images of a Hugging Face dataset: files on this machine, or bytes in its table."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlbench.errors import DataError
from dmlbench.reading import check_regular, read_bytes

if TYPE_CHECKING:
    import datasets

MOST_BYTES = 1 << 30
"""Largest image file that is read: 1 GiB. The most pixels that are decoded have 384 MiB."""

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class EncodedPhotos:
    """One encoded image.

    Attributes:
        identity: 32 bytes that no other image has: a hash of its bytes, or of what changes when its
            file does: path, inode, size, and times of modification and of change. The last can't be
            set back, as copying tools do with the other.
        name: for error messages.
        where: the path, or the table and the row with the bytes.
    """

    identity: bytes
    name: str
    where: "str | tuple[datasets.Dataset, int]"

    def read(self) -> bytes:
        """Return the encoded image.

        Raises:
            DataError: the file can't be read.
        """
        if not isinstance(self.where, str):
            table, row = self.where
            content: bytes = table[row]["image"][0].as_py()["bytes"]
            return content
        return read_bytes(Path(self.where), MOST_BYTES)


def sources(tables: "Mapping[str, datasets.Dataset]") -> list[EncodedPhotos]:
    """Return the image of each row of tables whose column ``image`` is an ``Image`` feature.

    Args:
        tables: of each split.

    Raises:
        DataError: rows have no image, or its file is missing; all of them are named.
    """
    found: list[EncodedPhotos] = []
    missing: list[DataError] = []
    for split, table in tables.items():
        rows = table.select_columns(["image"]).with_format("arrow")
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]["image"].to_pylist()
            for row, image in enumerate(some, start):
                place = f"number {row} of the split {split}"
                try:
                    found.append(_source(place, image or {}, (rows, row)))
                except DataError as error:
                    missing.append(error)
    DataError.raise_all(missing)
    return found


def _source(
    place: str, image: Mapping[str, Any], where: "tuple[datasets.Dataset, int]"
) -> EncodedPhotos:
    path, content = image.get("path"), image.get("bytes")
    name = f"The image {path or place}"
    if content is not None:
        return EncodedPhotos(sha256(content).digest(), name, where)
    if not path:
        raise DataError(f"{name} is missing: there is neither a file nor its bytes.")
    file = check_regular(path)
    facts = (file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns)
    identity = "\0".join(map(str, (os.path.abspath(path), *facts)))
    return EncodedPhotos(sha256(identity.encode(errors="surrogateescape")).digest(), name, path)
