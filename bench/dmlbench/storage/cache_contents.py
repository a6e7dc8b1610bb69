"""What the cache holds: how large it is, and what nobody has read for a while."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dmlbench.storage.cache import unfinished
from dmlbench.storage.leftovers import server_time

KINDS = {"photos": "decoded photos", "features": "features of frozen networks"}
"""Folders of the cache, and what is in them."""
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class CachedFile:
    """A file of the cache.

    Attributes:
        path: of the file.
        kind: one of `KINDS`.
        size: in bytes on the disk.
        last_read: in seconds, as far as the file system notes it: some do so once a day, or never.
    """

    path: Path
    kind: str
    size: int
    last_read: float


def cached_files(cache: Path, unread_days: float = 0.0) -> list[CachedFile]:
    """Return the files in the folder `cache` that nobody has read for so many days, sorted.

    Files that are being written are none of them.
    """
    found = sorted(_files(cache), key=lambda file: file.path)
    if unread_days and found:
        latest = server_time(cache) - unread_days * _DAY_SECONDS
        found = [file for file in found if file.last_read < latest]
    return found


def remove(files: list[CachedFile]) -> int:
    """Remove files of the cache; return how many bytes that freed.

    Running trials that read one go on: the system keeps it until they end.
    """
    freed = 0
    for file in files:
        with suppress(FileNotFoundError):
            file.path.unlink()
            freed += file.size
    return freed


def _files(cache: Path) -> Iterator[CachedFile]:
    for kind in KINDS:
        for folder, _, names in os.walk(cache / kind):
            waste = set(unfinished(Path(folder)))
            for path in (Path(folder, name) for name in names):
                if path.suffix == ".partial" and path not in waste:
                    continue
                with suppress(FileNotFoundError):
                    facts = path.stat()
                    read = max(facts.st_atime, facts.st_mtime)
                    yield CachedFile(path, kind, facts.st_blocks * 512, read)


def size_text(size: int) -> str:
    """Return a number of bytes for people.

    >>> size_text(1_500_000_000)
    '1.50 GB'
    """
    if size >= 10**9:
        return f"{size / 10**9:,.2f} GB"
    return f"{size / 10**6:.2f} MB"
