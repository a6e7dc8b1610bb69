"""``dmlbench data verify``: whether every image can be used, and the split's fingerprint."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlbench.contracts.components import Dataset
from dmlbench.data.photos.decoding import PhotoFormat, decode, quiet_pillow
from dmlbench.data.prepare.checksums import Progress, find_archive, has_checksum, mismatch
from dmlbench.errors import DataError, guarded

if TYPE_CHECKING:
    import datasets

    _Part = tuple[str, int, datasets.Dataset]

_AT_ONCE = 256
_AS_IN_TRIALS = PhotoFormat(image_size=224, short_side=256)


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        counts: items and classes of each split.
        fingerprint: of the split, see `split_fingerprint`.
        damaged: a line for each file that is not as it should be.
    """

    counts: Mapping[str, tuple[int, int]]
    fingerprint: str
    damaged: tuple[str, ...]


def verify(dataset: Dataset, data_dir: Path | None, progress: Progress) -> Verification:
    """Load a dataset, decode its images as trials do, and check the archives in the data folder.

    Raises:
        DataError: it can't be loaded: something is missing, or the counts are wrong.
        PluginError: the dataset breaks its contract.
    """
    with guarded(f"Loading {type(dataset).__name__}"):
        tables = dataset.load(data_dir)
    total, done, damaged = sum(map(len, tables.values())), 0, []
    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as threads:
        for split, table in tables.items():
            for problems in threads.map(_damaged, _parts(split, table)):
                damaged += problems
                done = min(done + _AT_ONCE, total)
                progress("opening images", done, total)
    damaged += _damaged_archives(dataset, data_dir, progress)
    counts = {name: (len(table), len(set(table["label"][:]))) for name, table in tables.items()}
    return Verification(counts, split_fingerprint(tables), tuple(sorted(damaged)))


def split_fingerprint(tables: "Mapping[str, datasets.Dataset]") -> str:
    """Return the SHA-256 of the sorted lines ``split<TAB>class<TAB>image``.

    An image is its path within the folder that all images share, or the SHA-256 of its content if
    it has no path. Copies of a set have the same fingerprint wherever they are.
    """
    images = {name: [_identity(image) for image in _undecoded(t)] for name, t in tables.items()}
    paths = [str(image) for some in images.values() for image in some if isinstance(image, Path)]
    base = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    lines = []
    for split, table in tables.items():
        names = table.features["label"].names
        for image, label in zip(images[split], table["label"][:], strict=True):
            text = image.relative_to(base).as_posix() if isinstance(image, Path) else image
            lines.append(f"{split}\t{names[label]}\t{text}")
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _undecoded(table: "datasets.Dataset") -> Iterator[Any]:
    """Yield each item's image as it is stored: an encoded one as ``{"path", "bytes"}``."""
    from datasets import Image

    column = "image" if "image" in table.column_names else "vector"
    if isinstance(table.features[column], Image):
        for item in table.cast_column(column, Image(decode=False)):
            yield item[column]
    else:
        for item in table.with_format("numpy"):
            yield item[column]


def _identity(image: Any) -> Path | str:
    if not isinstance(image, dict):
        return sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    return sha256(image["bytes"]).hexdigest() if image["bytes"] else Path(image["path"])


def _parts(split: str, table: "datasets.Dataset") -> "Iterator[_Part]":
    """Yield the images in parts, each with its split and the number of its first image."""
    from datasets import Image

    if isinstance(table.features.get("image"), Image):
        undecoded = table.cast_column("image", Image(decode=False)).select_columns("image")
        for start in range(0, len(table), _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, len(table)))
            yield split, start, undecoded.select(part)


def _damaged(part: "_Part") -> list[str]:
    """Return a line for each image that can't be used."""
    split, start, images = part
    lines = []
    for number, item in enumerate(images, start=start):
        path, content = item["image"]["path"], item["image"]["bytes"]
        name = path or f"{split}, item {number}"
        try:
            decode(Path(path).read_bytes() if content is None else content, name, _AS_IN_TRIALS)
        except DataError as error:
            lines.append(str(error))
        except OSError as error:
            lines.append(f"{name} can't be read: {error.strerror or error}.")
    return lines


def _damaged_archives(dataset: Dataset, data_dir: Path | None, progress: Progress) -> Iterator[str]:
    """Yield a line for each file in the data folder that only has the name of an official one."""
    known = {archive.name for archive in dataset.archives if has_checksum(archive)}
    if data_dir is None or not known:
        return
    for parent, folders, names in os.walk(data_dir):
        depth = len(Path(parent).relative_to(data_dir).parts)
        folders[:] = (
            [] if depth >= 2 else [name for name in folders if not name.endswith(".partial")]
        )
        for path in (Path(parent, name) for name in names if name in known):
            archive = find_archive(path, dataset.archives)
            if archive and (wrong := mismatch(path, archive, progress)):
                yield f"{path}: {wrong}"
