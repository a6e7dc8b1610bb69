"""The entry points of installed packages, read from their files without importing anything.

``importlib.metadata`` does this too, but importing it takes longer than starting Python. It is
asked only about what a listing of folders does not tell: zip files, eggs, and metadata folders
whose names do not follow the standard.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

KINDS = {
    "loss": "losses",
    "miner": "miners",
    "sampler": "samplers",
    "backbone": "backbones",
    "dataset": "datasets",
    "baseline": "baselines",
    "metric": "metrics",
    "executor": "executors",
}
"""Kind of component -> its plural, which ends the name of its entry-point group."""

FAMILY_MARKS = {"dataset": ":", "metric": "@"}
"""What stands between a family and its argument, where it isn't a slash."""

HOOKS_GROUP = "dmlbench.hooks"
_MARK = "dmlbench."
"""What the file of entry points holds if any is for us."""
_GROUPS = {f"dmlbench.{plural}": kind for kind, plural in KINDS.items()} | {HOOKS_GROUP: "hooks"}

_STANDARD_NAME = re.compile(
    r"""(?P<name> [^-]+ )  # a hyphen in the name of the distribution is written as an underscore
    (- (?P<version> \d+ (\.\d+)* ((a|b|rc)\d+)? (\.post\d+)? (\.dev\d+)? (\+[a-z0-9.]+)? )
    (-py\d.*)? )?         # of an egg: its Python and platform
    \.(dist|egg)-info""",
    re.VERBOSE,
)
"""Names of metadata folders that say which distribution they are of."""


@dataclass(frozen=True, order=True)
class Entry:
    """One line of an entry-point group: ``name = "module:attribute"`` of a distribution.

    A component given by an import reference has that reference as name and value, and the
    distribution ``""``.
    """

    kind: str
    name: str
    distribution: str
    version: str
    value: str

    @property
    def origin(self) -> str:
        """Return where the component comes from, worded to follow its name."""
        return f"of {self.distribution} {self.version}" if self.distribution else "(your own)"

    @property
    def qualified(self) -> str:
        """Return ``distribution:name``, which is never ambiguous."""
        return f"{self.distribution}:{self.name}" if self.distribution else self.name


class _Found(NamedTuple):
    """A distribution on the path, and the text that lists its entry points."""

    name: str
    version: str
    entry_points: str


def read_entries(path: Iterable[str]) -> Iterator[Entry]:
    """Yield the dmlbench entry points of all distributions in the folders and archives of `path`.

    Example:
        >>> from dmlbench.components.entry_points import read_entries
        >>> list(read_entries(["/a/folder/that/does/not/exist"]))
        []
    """
    seen = set()
    for place in path:
        for found in _distributions(place or "."):
            if found.name in seen:  # a later folder on the path is shadowed, as in imports
                continue
            seen.add(found.name)
            if _MARK in found.entry_points:
                for kind, key, value in _parse(found.entry_points):
                    yield Entry(kind, key, found.name, found.version, value)


def _distributions(place: str) -> Iterator[_Found]:
    """Yield what is installed in a folder, an egg or a zip file of ``sys.path``."""
    try:
        names = os.listdir(place)
    except NotADirectoryError:
        from importlib.metadata import distributions

        for distribution in distributions(path=[place]):
            yield from _as_declared(distribution)
        return
    except OSError:  # sys.path may name folders that do not exist
        return
    metadata = (".dist-info", ".egg-info")
    for name in names:
        if name.lower().endswith(metadata) or (name == "EGG-INFO" and place.endswith(".egg")):
            yield from _in_folder(os.path.join(place, name))


def _in_folder(folder: str) -> Iterator[_Found]:
    """Yield the distribution that a metadata folder is of."""
    standard = _STANDARD_NAME.fullmatch(os.path.basename(folder))
    if standard is not None:
        text = _read_text(os.path.join(folder, "entry_points.txt"))
        if standard["version"] or _MARK not in text:
            yield _Found(normalised(standard["name"]), standard["version"] or "", text)
            return
    from importlib.metadata import PathDistribution
    from pathlib import Path

    yield from _as_declared(PathDistribution(Path(folder)), os.path.basename(folder))


def _as_declared(distribution: "Distribution", folder: str = "") -> Iterator[_Found]:
    """Yield a distribution by the name and version that its metadata state, if it can be read.

    Without metadata it is called as its folder.
    """
    try:
        text = distribution.read_text("entry_points.txt") or ""
        metadata = distribution.metadata
        stated = {key: metadata[key] for key in ("Name", "Version") if key in metadata}
    except FileNotFoundError:  # raised from Python 3.15 on
        stated = {}
    except Exception:  # a zip file may be damaged anywhere
        return
    name = stated.get("Name") or folder.rpartition(".")[0]
    yield _Found(normalised(name), stated.get("Version", ""), text)


def normalised(name: str) -> str:
    """Return a distribution's name as all of its spellings are written.

    Example:
        >>> normalised("PyYAML"), normalised("my_pkg")
        ('pyyaml', 'my-pkg')
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # most distributions have no entry points
        return ""


def _parse(text: str) -> Iterator[tuple[str, str, str]]:
    kind = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            kind = _GROUPS.get(line[1:-1].strip())
        elif kind and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield kind, name.strip(), value.partition("[")[0].replace(" ", "")
