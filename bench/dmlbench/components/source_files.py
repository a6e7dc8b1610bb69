"""Files of source code, in folders and in zip archives, from which Python imports as well."""

from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile, ZipFile


def is_file(path: Path) -> bool:
    """Return whether there is a file at `path`, or in the archive that `path` leads into.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     archive = Path(folder, "plugins.zip")
        ...     with ZipFile(archive, "w") as file:
        ...         file.writestr("mine/loss.py", "margin = 0.2")
        ...     is_file(archive / "mine" / "loss.py"), is_file(archive / "mine")
        (True, False)
    """
    archive = _archive(path)
    if archive is None:
        return path.is_file()
    return _name(path, archive) in _names(archive, archive.stat().st_mtime_ns)


def read_bytes(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
        OSError: there is none, see `is_file`.
    """
    archive = _archive(path)
    if archive is None or not is_file(path):  # which says why it can't be read
        return path.read_bytes()
    with ZipFile(archive) as file:
        return file.read(_name(path, archive))


def _archive(path: Path) -> Path | None:
    """Return the file among the parents of `path`; None if they are folders."""
    there = next((parent for parent in path.parents if parent.exists()), None)
    return there if there and there.is_file() else None


def _name(path: Path, archive: Path) -> str:
    return path.relative_to(archive).as_posix()


@lru_cache(maxsize=64)
def _names(archive: Path, changed: float) -> frozenset[str]:
    """Return the names of all files in an archive, which was last changed at a time."""
    try:
        with ZipFile(archive) as file:
            return frozenset(file.namelist())
    except BadZipFile:
        return frozenset()
