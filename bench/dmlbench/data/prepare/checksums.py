"""Whether a file is the one that a dataset's authors distribute, judged by size and checksum."""

import gzip
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

from dmlbench.contracts.components import Archive
from dmlbench.errors import DataError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and the total."""

_CHUNK = 2**20


def names(archive: Archive) -> tuple[str, ...]:
    """Return the names under which a file may be there: unpacked too, if that can be checked.

    >>> names(Archive("labels.gz", unpacked_md5="15d484375f8d13e6eb1aabb0c3f46965"))
    ('labels.gz', 'labels')
    """
    unpacked = (archive.name.removesuffix(".gz"),) if archive.unpacked_md5 else ()
    return (archive.name, *unpacked)


def find_archive(path: Path, archives: tuple[Archive, ...]) -> Archive | None:
    """Return the archive that a file claims to be by its name."""
    return next((archive for archive in archives if path.name in names(archive)), None)


def mismatch(path: Path, archive: Archive, progress: Progress) -> str | None:
    """Return how a file differs from the official one, or None if no difference is known.

    Raises:
        DataError: the file can't be read.
    """
    try:
        if archive.unpacked_md5:
            found = _unpacked_md5(path)
            if found == archive.unpacked_md5:
                return None
            official = archive.unpacked_md5
            return f"unpacked, its md5 is {found}, that of the official file {official}."
        size = path.stat().st_size
        if archive.size is not None and size != archive.size:
            short = " Was its download cut short?" if size < archive.size else ""
            return f"it has {size:,} bytes, the official file {archive.size:,}.{short}"
        for algorithm in ("sha256", "md5"):
            expected = getattr(archive, algorithm)
            if expected and (found := _digest(path, algorithm, size, progress)) != expected:
                return f"its {algorithm} is {found}, that of the official file {expected}."
            if expected:
                return None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"Can't read {path}: {reason}.") from error
    return None


def has_checksum(archive: Archive) -> bool:
    """Return whether a checksum of the official file is known."""
    return bool(archive.sha256 or archive.md5 or archive.unpacked_md5)


def _unpacked_md5(path: Path) -> str:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _digest(path: Path, algorithm: str, size: int, progress: Progress) -> str:
    digest, done = hashlib.new(algorithm, usedforsecurity=False), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(f"checking {path.name}", done, size)
    return digest.hexdigest()
