"""The entry points of installed packages, read from their files without importing anything.

``importlib.metadata`` does this too, but it takes several times as long as starting Python.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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

HOOKS_GROUP = "dmlbench.hooks"
_GROUPS = {f"dmlbench.{plural}": kind for kind, plural in KINDS.items()} | {HOOKS_GROUP: "hooks"}


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


def read_entries(path: Iterable[str]) -> Iterator[Entry]:
    """Yield the dmlbench entry points of all distributions in the folders of `path`."""
    seen = set()
    for folder in path:
        for name in _listing(folder or "."):
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            distribution, _, version = name.rpartition(".")[0].partition("-")
            distribution = re.sub(r"[-_.]+", "-", distribution).lower()
            if distribution in seen:  # a later folder on the path is shadowed, as in imports
                continue
            seen.add(distribution)
            text = _read_text(os.path.join(folder, name, "entry_points.txt"))
            if "dmlbench." in text:
                for kind, key, value in _parse(text):
                    yield Entry(kind, key, distribution, version.partition("-py")[0], value)


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # sys.path may name folders that do not exist, and zip files
        return []


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
