"""The source code of a component, and the files that its settings name: part of its identity."""

import ast
import sys
from collections.abc import Mapping
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from dmlbench.errors import DataError


def source_hash(component: Any) -> str:
    """Return a hash of the source code that a component class is made of.

    It covers the file of the class and the files beside it that it imports, directly or not, and
    those of its bases in the same folder: an edited file is another component, an unchanged one
    in a new release is the same.
    """
    folder = _file_of(component).parent
    files: set[Path] = set()
    waiting = [_file_of(base) for base in component.__mro__]
    while waiting:
        path = waiting.pop()
        if path in files or path.parent != folder or not path.is_file():
            continue
        files.add(path)
        if path.suffix == ".py":
            waiting += [folder / f"{name}.py" for name in _imported_names(path)]
    digest = sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
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


def _imported_names(path: Path) -> set[str]:
    """Return every part of every module name that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update(part for alias in node.names for part in alias.name.split("."))
        if isinstance(node, ast.ImportFrom) and node.module:
            names.update(node.module.split("."))
    return names
