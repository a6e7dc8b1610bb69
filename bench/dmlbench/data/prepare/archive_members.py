"""The files in a tar or zip archive, one after another; anything that could do harm is an error."""

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Self

from dmlbench.errors import DataError

PACKED = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip")


class Member(NamedTuple):
    """A regular file in an archive.

    Attributes:
        path: where it goes, within the folder that the archive is unpacked to.
        size: bytes, according to its header.
        source: its content, to be read before the next member is requested.
        done: bytes of the archive that were read before it, for a progress display.
    """

    path: PurePosixPath
    size: int
    source: IO[bytes]
    done: int


def is_packed(path: Path) -> bool:
    """Return whether a file has the name of an archive to unpack.

    >>> is_packed(Path("CUB_200_2011.tgz")), is_packed(Path("list_eval_partition.txt"))
    (True, False)
    """
    return path.name.lower().endswith(PACKED)


def unpacked_size(path: Path) -> int:
    """Return how many bytes an archive holds, as far as that can be known without unpacking it."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            return sum(info.file_size for info in archive.infolist())
    return path.stat().st_size


def members(path: Path) -> Iterator[Member]:
    """Yield the regular files in an archive; folders are created along with them.

    The archive is read to its very end, so that a truncated one is always detected.

    Raises:
        DataError: a member is a link or a device, or its path leads out of the folder.
        OSError, tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, …: it is damaged.
    """
    yield from _zip_members(path) if path.suffix.lower() == ".zip" else _tar_members(path)


class _StrictHeader(tarfile.TarInfo):
    """A tar header that is an error if damaged or missing; `tarfile` takes that for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if not buf:
            raise tarfile.ReadError("it ends without an end mark")
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                raise
            raise tarfile.ReadError(f"a header is damaged: {error}") from error


def _tar_members(path: Path) -> Iterator[Member]:
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        tar = stack.enter_context(tarfile.open(fileobj=raw, mode="r:*", tarinfo=_StrictHeader))
        for header in tar:
            if header.isdir():
                _safe_path(header.name, path)
            elif not header.isreg():
                raise _harmful(path, header.name, "a link or a device")
            elif source := tar.extractfile(header):
                yield Member(_safe_path(header.name, path), header.size, source, raw.tell())
        while tar.fileobj is not None and tar.fileobj.read(2**20):
            pass  # a compressed stream is verified at its end


def _zip_members(path: Path) -> Iterator[Member]:
    done = 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _harmful(path, info.filename, "a link or a device")
            target = _safe_path(info.filename, path)
            if not info.is_dir():
                with archive.open(info) as source:
                    yield Member(target, info.file_size, source, done)
            done += info.compress_size


def _safe_path(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise _harmful(archive, name, "a path that leads out of the folder or is not portable")
    return path


def _harmful(archive: Path, name: str, what: str) -> DataError:
    return DataError(
        f"{archive} holds {name!r}, {what}. No official archive does: nothing was unpacked from it."
    )
