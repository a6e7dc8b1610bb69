"""Which installed distributions a module belongs to, and which of them dmlbench requires."""

import os
import re
import sys
from functools import cache
from importlib.metadata import PathDistribution, requires
from pathlib import Path

from dmlbench.components.entry_points import normalised

_LISTS = ("RECORD", "installed-files.txt", "top_level.txt")
"""Files that name what a distribution has installed."""
_TOP = re.compile(r"^[^/.,\n]+", re.MULTILINE)


def owners(module: str) -> dict[str, str]:
    """Return the versions of the distributions that installed a top-level module, by name.

    There is none for a module of the standard library, for a file of one's own, and for a package
    that is installed in place (``pip install -e``): its code lies where it is edited.
    """
    folders = _installed(tuple(sys.path)).get(module, {})
    return {name: PathDistribution(Path(place)).version for name, place in folders.items()}


@cache
def requirements() -> frozenset[str]:
    """Return the names of dmlbench itself and of the distributions that it requires."""
    lines = [line for line in requires("dmlbench") or () if "extra ==" not in line]
    names = [match[0] for line in lines if (match := re.match(r"[\w.-]+", line))]
    return frozenset({"dmlbench", *map(normalised, names)})


@cache
def _installed(path: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return by top-level module the distributions on `path` and the folders that describe them.

    ``importlib.metadata.packages_distributions`` takes ten times as long.
    """
    found: dict[str, dict[str, str]] = {}
    for folder in dict.fromkeys(path):
        for name in _listing(folder or "."):
            stem, _, suffix = name.rpartition(".")
            if suffix in ("dist-info", "egg-info"):
                place = os.path.join(folder, name)
                text = next(filter(None, (_read(os.path.join(place, one)) for one in _LISTS)), "")
                for module in set(_TOP.findall(text)):
                    known = found.setdefault(module, {})
                    known.setdefault(normalised(re.split(r"-\d", stem)[0]), place)
    return found


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # sys.path may name folders that do not exist, and zip files
        return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
