"""Hashes of a component's source code and of the files its settings name: part of its identity."""

import ast
import os
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from dmlbench.errors import DataError, PluginError

_LIBRARY = "sklearn"
"""Its classes are identified by package version, so imports from other folders are not followed."""


def source_hash(component: Any) -> str:
    """Return a hash of the source code that a component class is made of.

    It covers the file of the class, those of its bases, and the files that these import, directly
    or not, if they are next to the class or in its top-level package. Editing a file makes another
    component; a new release with the same source does not. Not covered: modules imported under a
    name computed at run time, and the ``__init__.py`` of packages that are only passed through.

    Raises:
        PluginError: one of the files is not valid Python.
    """
    folder = _file_of(component).parent
    package = component.__module__.partition(".")[0]
    roots = [Path(root) for root in getattr(sys.modules.get(package), "__path__", ())]
    if package == _LIBRARY:
        roots = []
    files: set[Path] = set()
    waiting = [_file_of(base) for base in component.__mro__]
    while waiting:
        path = waiting.pop()
        own = path.parent == folder or any(path.is_relative_to(root) for root in roots)
        if path in files or not own or not path.is_file():
            continue
        files.add(path)
        if path.suffix == ".py":
            imports = list(_imports(path))
            waiting += [file for name in imports for file in _files_of(name, path, package, roots)]
            if path.parent == folder:
                parts = {part for name in imports for part in name.split(".") if part}
                waiting += [folder / f"{part}.py" for part in parts]
    digest = sha256()
    for name, path in sorted((os.path.relpath(path, folder), path) for path in files):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def file_hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Return a hash of the content of each of `files`, under the same key.

    Raises:
        DataError: a file isn't there or can't be read.
    """
    found = {}
    for key, path in files.items():
        try:
            stat = path.stat()
            found[key] = _file_hash(path, stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            raise DataError(f"{key}: the file {path} can't be read: {error.strerror}.") from error
    return found


@lru_cache
def _file_hash(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _file_of(component: Any) -> Path:
    return Path(getattr(sys.modules.get(component.__module__), "__file__", None) or "")


def _imports(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, with dots before a relative one.

    Raises:
        PluginError: the file is not valid Python.
    """
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise PluginError(f"{path} can't be read as Python: {error}.") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (f"{node.module}." if node.module else "")
            yield from (start + alias.name for alias in node.names)


def _files_of(name: str, path: Path, package: str, roots: list[Path]) -> Iterator[Path]:
    """Yield the file of the module that `path` imports as `name`, or takes its last part from."""
    first, *parts = name.lstrip(".").split(".")
    if name.startswith("."):
        level = len(name) - len(name.lstrip("."))
        roots, parts = [Path(os.path.normpath(path / ("../" * level)))], [first, *parts]
    elif first != package:
        return
    for root in roots:
        for place in (root.joinpath(*parts), root.joinpath(*parts[:-1])):
            found = [f for f in (place / "__init__.py", Path(f"{place}.py")) if f.is_file()]
            if found:
                yield found[0]
                break
