"""``dmlbench data verify``: whether every image can be used, and the split's fingerprint."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmlbench.contracts.components import Dataset
from dmlbench.data.inputs import image_arrays, vector_arrays
from dmlbench.data.photos.decoding import PhotoFormat, decode, quiet_pillow
from dmlbench.data.prepare.checksums import Progress, find_archive, has_checksum, mismatch
from dmlbench.data.prepare.prepare import unverified
from dmlbench.data.remarks import copies, faint, item_digests
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
        remarks: a sentence for each thing that is odd and no damage, see `dmlbench.data.remarks`.
    """

    counts: Mapping[str, tuple[int, int]]
    fingerprint: str
    damaged: tuple[str, ...]
    remarks: tuple[str, ...]


def verify(dataset: Dataset, data_dir: Path | None, progress: Progress) -> Verification:
    """Load a dataset, decode its images as trials do, and check the archives in the data folder.

    The network is not asked: a set that is not on this machine is an error.

    Raises:
        DataError: it can't be loaded: something is missing, or the counts are wrong.
        PluginError: the dataset breaks its contract.
    """
    with guarded(f"Loading {type(dataset).__name__}"):
        if reason := dataset.missing(data_dir):
            raise DataError(reason)
        tables = dataset.load(data_dir)
    opened = _opened(tables, progress)
    damaged = [line for some in opened.values() for image in some for line in image.damaged]
    damaged += _damaged_archives(dataset, data_dir, progress)
    labels = {name: np.asarray(table["label"][:]) for name, table in tables.items()}
    digests = {name: _digests(table, opened[name]) for name, table in tables.items()}
    depths = [image.depth for some in opened.values() for image in some]
    return Verification(
        {name: (len(some), len(np.unique(some))) for name, some in labels.items()},
        split_fingerprint(tables),
        tuple(sorted(damaged)),
        (*copies(digests, labels), *faint(np.array(depths, dtype=bool).reshape(-1, 2))),
    )


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


class _Opened(NamedTuple):
    """An encoded image: its hash, whether it has 16 bits and uses few, and why it can't be used."""

    digest: bytes
    depth: tuple[bool, bool] = (False, False)
    damaged: tuple[str, ...] = ()


def _opened(
    tables: "Mapping[str, datasets.Dataset]", progress: Progress
) -> dict[str, list[_Opened]]:
    """Return all encoded images, opened; of a split with arrays none."""
    opened: dict[str, list[_Opened]] = {}
    total, done = sum(map(len, tables.values())), 0
    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as threads:
        for split, table in tables.items():
            opened[split] = []
            for some in threads.map(_open, _parts(split, table)):
                opened[split] += some
                done += len(some)
                progress("opening images", done, total)
    return opened


def _parts(split: str, table: "datasets.Dataset") -> "Iterator[_Part]":
    """Yield the images in parts, each with its split and the number of its first image."""
    from datasets import Image

    if isinstance(table.features.get("image"), Image):
        undecoded = table.cast_column("image", Image(decode=False)).select_columns("image")
        for start in range(0, len(table), _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, len(table)))
            yield split, start, undecoded.select(part)


def _open(part: "_Part") -> list[_Opened]:
    split, start, images = part
    opened = []
    for number, item in enumerate(images, start=start):
        path, content = item["image"]["path"], item["image"]["bytes"]
        name = path or f"{split}, item {number}"
        digest = sha256(name.encode(errors="surrogateescape")).digest()
        try:
            content = Path(path).read_bytes() if content is None else content
            digest = sha256(content).digest()
            opened.append(_Opened(digest, decode(content, name, _AS_IN_TRIALS).depth))
        except DataError as error:
            opened.append(_Opened(digest, damaged=(str(error),)))
        except OSError as error:
            reason = f"{name} can't be read: {error.strerror or error}."
            opened.append(_Opened(digest, damaged=(reason,)))
    return opened


def _digests(table: "datasets.Dataset", opened: list[_Opened]) -> np.ndarray:
    """Return a hash of each item of a split ``[N, 32]`` uint8."""
    if opened:
        return np.frombuffer(b"".join(image.digest for image in opened), np.uint8).reshape(-1, 32)
    is_image = "image" in table.column_names
    return item_digests(image_arrays(table) if is_image else vector_arrays(table, "the set"))


def _damaged_archives(dataset: Dataset, data_dir: Path | None, progress: Progress) -> Iterator[str]:
    """Yield a line for each file in the data folder that only has the name of an official one.

    Files that `Archive.unpacked_md5` knows are left to the dataset, since other sets may have files
    of the same names; so are those that ``data prepare`` was told to accept.
    """
    known = {
        archive.name
        for archive in dataset.archives
        if has_checksum(archive) and not archive.unpacked_md5
    }
    if data_dir is None or not known:
        return
    for parent, folders, names in os.walk(data_dir):
        depth = len(Path(parent).relative_to(data_dir).parts)
        folders[:] = (
            [] if depth >= 2 else [name for name in folders if not name.endswith(".partial")]
        )
        accepted = unverified(Path(parent))
        for path in (Path(parent, name) for name in names if name in known):
            archive = find_archive(path, dataset.archives)
            wrong = archive and path.name not in accepted and mismatch(path, archive, progress)
            if wrong:
                yield f"{path}: {wrong}"
