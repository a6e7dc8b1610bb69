"""What killed processes left in the folders that dmlbench writes to: unfinished files."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dmlbench.storage.atomic import TEMPORARY
from dmlbench.storage.owners import Owner

_DEPTH = 3
"""Records lie two folders deep. Whoever names a large folder for output doesn't wait for a walk."""
_LONGEST_WRITE_SECONDS = 3600.0


def leftovers(folder: Path) -> list[Path]:
    """Return the unfinished files in `folder` whose writers are gone, sorted.

    Of a writer that nobody here can know to be alive, a file is left over when it is an hour old.
    """
    unfinished = [
        path
        for path in _files(folder, _DEPTH)
        if path.name.startswith(".") and path.name.endswith(TEMPORARY)
    ]
    return sorted(path for path in unfinished if _is_left_over(path))


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files in `folder` whose writers are gone."""
    for path in leftovers(folder):
        with suppress(OSError):
            path.unlink()


def server_time(folder: Path) -> float:
    """Return the time, in seconds, by the clock that stamps the files in `folder`.

    Raises:
        OSError: nothing can be written there.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _is_left_over(path: Path) -> bool:
    owner = Owner.parse(path.name[1 : -len(TEMPORARY)])
    if owner is not None and owner.is_of_this_machine:
        return owner.is_gone
    try:
        return server_time(path.parent) - path.stat().st_mtime > _LONGEST_WRITE_SECONDS
    except OSError:  # gone, or in a folder where nothing can be removed
        return False


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)
        elif depth > 0:
            yield from _files(Path(entry.path), depth - 1)
