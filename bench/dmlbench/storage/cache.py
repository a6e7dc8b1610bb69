"""The cache folder of decoded photos and features: each file is written once, by one process."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from dmlbench.errors import ConfigError, DataError
from dmlbench.storage.owners import Owner

VARIABLE = "DMLBENCH_CACHE"
_ADVICE = f"Choose another folder with --cache-dir or the variable {VARIABLE}."
_PARTIAL = ".partial"
_OWNED = "--"

Content = TypeVar("Content")


def cache_folder(chosen: Path | None = None) -> Path:
    """Return the folder for what can be made again: decoded photos, features of frozen networks.

    The first that is set of `chosen`, the variable DMLBENCH_CACHE, ``dmlbench`` in XDG_CACHE_HOME,
    and ``~/.cache/dmlbench``. The folder need not exist.

    Raises:
        ConfigError: none of them is set, and the user has no home.
    """
    if chosen or os.environ.get(VARIABLE):
        return Path(chosen or os.environ[VARIABLE]).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # the specification says to ignore others
        return Path(shared) / "dmlbench"
    try:
        return Path.home() / ".cache" / "dmlbench"
    except RuntimeError as error:
        raise ConfigError(
            f"There is no home folder to keep decoded photos and features in. {_ADVICE}"
        ) from error


def read_or_create(
    path: Path, read: Callable[[Path], Content | None], write: Callable[[IO[bytes]], None]
) -> Content:
    """Return what `read` finds in the file at `path`, after writing the file if need be.

    While one process writes, others wait here and then read. The file is complete or absent: an
    unfinished one is removed on an error, or by the next writer if its own was killed. On file
    systems without locks each process writes a file of its own, and one of them stays.

    Args:
        path: of the file.
        read: returns None if the file is missing or damaged.
        write: fills a new file.

    Raises:
        DataError: the disk is full, or the folder can't be read or written.
    """
    try:
        content = read(path)
        if content is not None:
            return content
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        with _only_writer(path) as file:
            content = read(path)  # another process may have made it meanwhile
            if content is not None:
                return content
            write(file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        content = read(path)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"Can't use the cache {path.parent}: {reason}. {_ADVICE}") from error
    if content is None:
        raise DataError(f"{path} is damaged right after being written. {_ADVICE}")
    return content


@contextmanager
def _only_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open an empty, locked file that will become `path`; remove it if it does not."""
    with _open_locked(path) or _open_own(path) as file:
        try:
            yield file
        finally:
            if _is_still_at(Path(file.name), file):
                os.unlink(file.name)


def _open_locked(path: Path) -> IO[bytes] | None:
    """Return an empty file, locked until it is closed; None on a file system without locks."""
    partial = path.with_suffix(_PARTIAL)
    while True:
        file = open(partial, "ab")  # noqa: SIM115 - the caller closes it
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            file.close()
            partial.unlink(missing_ok=True)
            return None
        if _is_still_at(partial, file):
            file.truncate(0)
            return file
        file.close()  # its last owner has renamed or removed it


def _open_own(path: Path) -> IO[bytes]:
    return open(path.with_name(f"{path.stem}{_OWNED}{Owner.new()}{_PARTIAL}"), "xb")


def _is_still_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def unfinished(folder: Path) -> list[Path]:
    """Return the files in `folder` whose writers were killed."""
    return [path for path in folder.glob(f"*{_PARTIAL}") if _is_abandoned(path, os.path.exists)]


def _remove_abandoned(folder: Path) -> None:
    for partial in folder.glob(f"*{_PARTIAL}"):
        _is_abandoned(partial, os.unlink)


def _is_abandoned(partial: Path, act: Callable[[Path], object]) -> bool:
    """Return whether nobody writes a file any more; if so, `act` while nobody can start to."""
    owner = Owner.parse(partial.stem.rpartition(_OWNED)[2])
    if owner is not None:
        if owner.is_gone:
            act(partial)
        return owner.is_gone
    with suppress(OSError), open(partial, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_still_at(partial, file):
            act(partial)
            return True
    return False
