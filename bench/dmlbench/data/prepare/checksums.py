"""Whether a file is the one that a dataset's authors distribute, judged by size and checksum."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from dmlbench.contracts.components import Archive
from dmlbench.errors import DataError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and the total."""

_CHUNK = 2**20


def find_archive(path: Path, archives: tuple[Archive, ...]) -> Archive | None:
    """Return the archive that a file claims to be by its name."""
    return next((archive for archive in archives if archive.name == path.name), None)


def mismatch(path: Path, archive: Archive, progress: Progress) -> str | None:
    """Return how a file differs from the official one, or None if no difference is known.

    Raises:
        DataError: the file can't be read.
    """
    try:
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
    except OSError as error:
        raise DataError(f"Can't read {path}: {error.strerror or error}.") from error
    return None


def has_checksum(archive: Archive) -> bool:
    """Return whether a checksum of the official file is known."""
    return bool(archive.sha256 or archive.md5)


def _digest(path: Path, algorithm: str, size: int, progress: Progress) -> str:
    digest, done = hashlib.new(algorithm, usedforsecurity=False), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(f"checking {path.name}", done, size)
    return digest.hexdigest()
