"""Whether published files are what the records give."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import matplotlib as mpl

from dmlbench.errors import DataError
from dmlbench.leaderboard.formats.svg import CREATOR
from dmlbench.leaderboard.publish import INDEX
from dmlbench.reading import read_bytes

_PICTURE = ".svg"
_DRAWN_BY = re.compile(re.escape(CREATOR) + r"([0-9][0-9A-Za-z.+-]*)")
_MOST_BYTES = 1 << 28
_HEAD = 4096
"""Bytes in which a file says what made it."""


@dataclass(frozen=True)
class PublishedCheck:
    """How the files in a folder differ from those that the records give, by path in it."""

    compared: tuple[str, ...]
    """Files that were compared byte for byte, stale ones included."""
    present: tuple[str, ...]
    """Pictures by another matplotlib, whose bytes differ: they only have to be there."""
    missing: tuple[str, ...]
    different: tuple[str, ...]
    left_over: tuple[str, ...]
    """Files of a table that no longer exists."""

    @property
    def stale(self) -> dict[str, str]:
        """Return why a file is stale, by path; nothing if all are what the records give."""
        reasons = dict.fromkeys(self.missing, "missing")
        reasons |= dict.fromkeys(self.different, "not what the records give")
        reasons |= dict.fromkeys(self.left_over, "left over from a table that no longer exists")
        return dict(sorted(reasons.items()))


def check(texts: Mapping[str, str], folder: Path) -> PublishedCheck:
    """Compare the files in `folder` with what they should be; nothing is written.

    Args:
        texts: what each file should hold, by path in the folder: see `files_by_path`.
        folder: with the published files.
    """
    compared, present, missing, different = [], [], [], []
    for path, text in sorted(texts.items()):
        held = _read(folder / path)
        if held is None:
            missing.append(path)
        elif path.endswith(_PICTURE) and _drawn_by(held) != mpl.__version__:
            present.append(path)
        else:
            compared.append(path)
            if held != text.encode():
                different.append(path)
    left_over = _left_over(texts, folder)
    return PublishedCheck(*map(tuple, (compared, present, missing, different, left_over)))


def _read(path: Path) -> bytes | None:
    """Return the content of a file; None if it is missing, can't be read or is far too large."""
    try:
        return read_bytes(path, _MOST_BYTES)
    except DataError:
        return None


def _drawn_by(svg: bytes) -> str:
    """Return the version of matplotlib that a picture says it was drawn by."""
    found = _DRAWN_BY.search(svg[:_HEAD].decode(errors="replace"))
    return found[1] if found else ""


def _left_over(texts: Mapping[str, str], folder: Path) -> list[str]:
    """Return the files of pages that were published before and are no longer in `texts`.

    A page is recognised by its first line, which is that of the index; its other files by their
    names. Anything else in the folder is none of ours.
    """
    mark = texts[INDEX].partition("\n")[0].encode()
    paths = [*folder.glob("*.md"), *folder.glob("*/*")]
    beside = {str(path.relative_to(folder)): path for path in paths if path.is_file()}
    pages = {
        name
        for name, path in beside.items()
        if path.suffix == ".md" and path.name != INDEX and (_read(path) or b"").startswith(mark)
    }
    stems = tuple(f"{PurePosixPath(page).with_suffix('')}." for page in pages | set(texts))
    endings = {PurePosixPath(path).suffix for path in texts} | {_PICTURE}
    return sorted(
        name
        for name, path in beside.items()
        if name not in texts and path.suffix in endings and name.startswith(stems)
    )
