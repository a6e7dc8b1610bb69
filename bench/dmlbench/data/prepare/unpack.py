"""Put the files of an archive or of a folder into a new folder, and nowhere else."""

import errno
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path
from typing import IO

from dmlbench.data.prepare.archive_members import members, unpacked_size
from dmlbench.data.prepare.checksums import Progress
from dmlbench.errors import DataError

MOST_FILES = 1_000_000
LARGEST_RATIO = 20
"""Images hardly compress: one that unpacks to more than this many times its own size is a trap."""
ALWAYS_ALLOWED = 2**30
"""Bytes that an archive may hold on top of that."""

_CHUNK = 2**20
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    OSError,
    struct.error,
    ValueError,
    NotImplementedError,  # a compression that zipfile does not support
    RuntimeError,  # a zip archive with a password
)


def unpack(archive: Path, folder: Path, progress: Progress) -> None:
    """Unpack a tar or zip archive into `folder`.

    Raises:
        DataError: it is damaged, harmful or too large, or the disk is full.
    """
    with _damage(archive):
        size = archive.stat().st_size
        _check_free_space(folder, unpacked_size(archive), archive)
        limit, written = size * LARGEST_RATIO + ALWAYS_ALLOWED, 0
        for number, member in enumerate(members(archive), start=1):
            written += member.size
            if written > limit or number > MOST_FILES:
                raise DataError(
                    f"{archive} would unpack to more than {limit:,} bytes or {MOST_FILES:,} files. "
                    "No archive of images does; unpacking was stopped."
                )
            target = folder / member.path
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                file = target.open("xb")
            with file:
                copied = _copy(member.source, file, target)
            if copied != member.size:
                raise EOFError(f"{member.path} has {copied:,} bytes, not {member.size:,}")
            progress(f"unpacking {archive.name}", min(member.done, size), size)


def copy(source: Path, folder: Path, progress: Progress) -> None:
    """Copy a file, or all files below a folder, into `folder`; links are refused.

    Raises:
        DataError: something can't be read, is no regular file, or the disk is full.
    """
    base = source if source.is_dir() else source.parent
    paths = sorted(_files(source)) if source.is_dir() else [source]
    with _damage(source):
        sizes = [path.stat().st_size for path in paths]
        _check_free_space(folder, sum(sizes), source)
        done = 0
        for path, size in zip(paths, sizes, strict=True):
            target = folder / path.relative_to(base)
            with path.open("rb") as reader, writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as writer:
                    _copy(reader, writer, target)
            done += size
            progress(f"copying {source.name}", done, sum(sizes))


def _files(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise DataError(f"Can't list {error.filename}: {error.strerror}.") from error

    for parent, folders, names in os.walk(folder, onerror=fail):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise DataError(
                    f"{path} is a link or a device. Put a copy of what it points to there."
                )
        yield from (Path(parent, name) for name in names)


def _copy(reader: IO[bytes], writer: IO[bytes], target: Path) -> int:
    copied = 0
    while chunk := reader.read(_CHUNK):
        with writing(target):
            writer.write(chunk)
        copied += len(chunk)
    with writing(target):
        writer.flush()
    return copied


def _check_free_space(folder: Path, size: int, source: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{source} needs at least {size:,} bytes in {folder}, but {free:,} are free. Free some "
            "space or choose another --data-dir."
        )


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn a failure to write `target` into a `DataError` that says why."""
    try:
        yield
    except FileExistsError as error:
        raise DataError(f"Two files would become {target}. Was an archive given twice?") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if full else error.strerror or str(error)
        raise DataError(
            f"Can't write {target}: {why}. Free some space or fix the cause, then try again."
        ) from error


@contextmanager
def _damage(source: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise DataError(
            f"{source} is damaged or cut short: {reason}. Download it again."
        ) from error
