"""The hash of a component's source code, and the libraries that its code imports.

What a component imports is one of these:

- its own code: modules of its package or distribution, and modules of no distribution, such as
  files beside it. Their source is part of the hash.
- a library that dmlbench requires, or dmlbench: its version is recorded with each trial.
- any other library: its version is part of the trial's identity.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from dmlbench.components.distributions import owners, requirements
from dmlbench.components.source_files import is_file, read_bytes
from dmlbench.components.source_text import Import, read_source
from dmlbench.errors import PluginError

_HARNESS = "dmlbench"


@dataclass(frozen=True)
class Source:
    """The code that a component is made of."""

    hash: str
    libraries: dict[str, str]
    """Versions of the distributions that it imports and dmlbench does not require."""


def source_of(component: Any) -> Source:
    """Return the hash of the source code of a component class, and the libraries it imports.

    The hash covers the file of the class, those of its bases, and all of its own code that these
    import, directly or not. Comments, docstrings, white space, the order of neighbouring imports,
    and the names and places of modules don't matter: an import counts by what it resolves to. Not
    covered: modules imported under a name computed at run time, and the ``__init__.py`` of packages
    that are only passed through.

    Raises:
        PluginError: one of the files is not valid Python, or there is none.
    """
    code = _Code(component)
    roots = code.roots()
    if not roots:
        raise PluginError(
            f"{component.__module__}:{component.__qualname__} has no file of source code, so a "
            "trial's id could not cover its code. Put it into a file, a package or a zip archive."
        )
    depth = code.read(roots)
    labels = dict.fromkeys(code.texts, "")
    for _ in range(depth):  # after as many rounds, the label of the first file covers the last one
        labels = {path: code.label(path, labels) for path in labels}
    hashed = sha256("\n".join(dict.fromkeys(labels[path] for path in roots)).encode()).hexdigest()
    return Source(hashed, dict(sorted(code.libraries.items())))


@dataclass
class _Code:
    """The files of a component's own code, and what they import."""

    component: Any
    texts: dict[Path, tuple[str | Import, ...]] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.package = self.component.__module__.partition(".")[0]
        self.folder = _file_of(self.component).parent
        self.distributions = owners(self.package).keys()
        # A class of a library that dmlbench requires is identified by its version: its files in
        # one folder are hashed, the library is not read whole.
        self.of_library = bool(self.distributions & requirements() - {_HARNESS})
        self._places: dict[str, list[Path]] = {}

    def roots(self) -> list[Path]:
        """Return the files of the class and of its bases."""
        classes = [
            base
            for base in self.component.__mro__
            if base is self.component or self._folders(base.__module__.partition(".")[0])
        ]
        return [file for file in map(_file_of, classes) if self._counts(file)]

    def read(self, waiting: list[Path]) -> int:
        """Read `waiting` and all that they import; return the number of steps this took."""
        steps = 0
        while waiting:
            steps += 1
            found: list[Path] = []
            for path in dict.fromkeys(waiting):
                if path.suffix != ".py":
                    self.texts[path] = (sha256(read_bytes(path)).hexdigest(),)
                    continue
                self.texts[path] = read_source(path)
                for piece in self.texts[path]:
                    if isinstance(piece, Import) and (target := self._target(piece, path)[0]):
                        found.append(target)
            waiting = [path for path in found if path not in self.texts]
        return steps

    def label(self, path: Path, labels: dict[Path, str]) -> str:
        """Return a hash of a file in which each import of own code is the label of its file."""
        digest = sha256()
        for is_import, pieces in groupby(self.texts[path], lambda one: isinstance(one, Import)):
            lines = [self._line(one, path, labels) for one in pieces]
            digest.update("\n".join(sorted(lines) if is_import else lines).encode() + b"\n")
        return digest.hexdigest()

    def _line(self, piece: str | Import, path: Path, labels: dict[Path, str]) -> str:
        if isinstance(piece, str):
            return piece
        target, is_module = self._target(piece, path)
        return piece.line(None if target is None else f"<{labels[target]}>", is_module)

    def _target(self, imported: Import, path: Path) -> tuple[Path | None, bool]:
        """Return the file of own code that is imported, and whether as a module of its own."""
        if imported.level:
            folders, parts = [path.parents[imported.level - 1]], imported.module
        else:
            folders, parts = self._folders(imported.module[0]), imported.module[1:]
        if imported.name is not None:
            for file in _files(folders, (*parts, imported.name)):
                if self._counts(file):
                    return file, True
        return next(filter(self._counts, _files(folders, parts)), None), False

    def _folders(self, top: str) -> list[Path]:
        """Return where the modules of a top-level package lie if they are own code, else nothing.

        The package of a module that stands alone is the module's path without its ``.py``.
        """
        if top not in self._places:
            self._places[top] = list(self._search(top))
        return self._places[top]

    def _search(self, top: str) -> Iterator[Path]:
        if top in (_HARNESS, *sys.stdlib_module_names, *sys.builtin_module_names):
            return
        found = owners(top)
        libraries = found.keys() - self.distributions - {_HARNESS}
        if libraries and top != self.package:
            if not self.of_library:
                self.libraries |= {name: found[name] for name in libraries - requirements()}
            return
        if "." not in self.component.__module__ and not found:  # what lies beside a single file
            beside = self.folder / top
            if any(map(is_file, (beside / "__init__.py", beside.with_suffix(".py")))):
                yield beside
                return
        try:
            spec = find_spec(top)
        except (ImportError, ValueError):  # the main module of a program has no spec
            return
        if spec and spec.submodule_search_locations:
            yield from map(Path, spec.submodule_search_locations)
        elif spec and spec.origin and spec.origin.endswith(".py"):
            yield Path(spec.origin).with_suffix("")

    def _counts(self, file: Path) -> bool:
        return is_file(file) and (not self.of_library or file.parent == self.folder)


def _file_of(component: Any) -> Path:
    return Path(getattr(sys.modules.get(component.__module__), "__file__", None) or "")


def _files(folders: list[Path], parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield the file of the module `parts` in each of the folders that has it."""
    for folder in folders:
        place = folder.joinpath(*parts)
        for file in (place / "__init__.py", place.parent / f"{place.name}.py"):
            if is_file(file):
                yield file
                break
