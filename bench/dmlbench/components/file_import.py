"""Import a file that is named by its path, such as ``./my_loss.py``, and what lies beside it.

Such a file may import its neighbours, as a script may. ``sys.path`` stays as it is, so nobody else
finds them. Python knows each neighbour by a name that tells its folder: helpers of one name in two
folders are two modules.
"""

import builtins
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache, partial
from hashlib import sha256
from importlib import import_module, invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_NEVER_BESIDE = frozenset({*sys.stdlib_module_names, "dmlbench"})


def import_file(path: Path) -> ModuleType:
    """Return the module of the Python file `path`, which is imported once.

    An import in it, also one that runs later, finds the modules and packages in the file's folder,
    after the standard library and installed distributions.

    Raises:
        FileNotFoundError: there is no such file.
        Exception: whatever the file raises.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from dmlbench.components.file_import import import_file
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "constants.py").write_text("margin = 0.2")
        ...     _ = Path(folder, "mine.py").write_text("from constants import margin")
        ...     import_file(Path(folder, "mine.py")).margin
        0.2
    """
    name = name_of_file(path)
    if name not in sys.modules:
        invalidate_caches()  # its neighbours may have been written a moment ago
    return import_module(name)


def name_of_file(path: Path) -> str:
    """Return the name by which `import_file` knows the module of a Python file."""
    path = path.resolve()
    spec = spec_from_file_location(path.stem, path)
    if spec is None:
        raise ImportError(f"{path} is not a Python file")
    if path.exists() and not path.is_file():
        raise ImportError(f"{path} is not a regular file")  # a pipe may never end
    return _register(spec, path.parent)


class _Finder:
    """Finds registered modules, and the submodules of those that are packages."""

    found: dict[str, tuple[ModuleSpec, Path]] = {}
    """Where each module lies, and the folder of its neighbours."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, rest = name.partition(".")
        if top not in cls.found:
            return None
        neighbour, folder = cls.found[top]
        spec = PathFinder.find_spec(name, path) if rest else neighbour
        if spec is None or not _is_source(spec):
            return None
        locations = spec.submodule_search_locations
        loader = _Loader(name, spec.origin, folder) if spec.origin else None
        renamed = ModuleSpec(name, loader, origin=spec.origin, is_package=locations is not None)
        renamed.submodule_search_locations = None if locations is None else [*locations]
        renamed.has_location = spec.origin is not None
        return renamed


class _Loader(SourceFileLoader):
    """Gives a module an ``import`` statement that finds its neighbours."""

    def __init__(self, name: str, path: str, folder: Path) -> None:
        super().__init__(name, path)
        self.folder = folder

    def exec_module(self, module: ModuleType) -> None:
        statement = partial(_import_from, self.folder)
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": statement}
        super().exec_module(module)


def _import_from(
    folder: Path,
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    """Do what ``builtins.__import__`` does, for a module whose neighbours are in `folder`."""
    top, dot, rest = name.partition(".")
    if not level:
        name = (_neighbour(top, folder) or top) + dot + rest
    return builtins.__import__(name, globals, locals, fromlist or (), level)


@cache
def _neighbour(top: str, folder: Path) -> str | None:
    """Return the name under which the neighbour `top` is imported; None if none is meant."""
    if top in _NEVER_BESIDE:
        return None
    beside = PathFinder.find_spec(top, [str(folder)])
    if beside is None or not _is_source(beside):
        return None
    usual = _usual(top)
    if usual is not None:
        if beside.origin in (None, usual.origin):
            return None
        from importlib.metadata import packages_distributions

        if top in packages_distributions():
            return None
    return _register(beside, folder)


def _usual(top: str) -> ModuleSpec | None:
    """Return what every other module imports under that name."""
    try:
        return find_spec(top)
    except (ImportError, ValueError):  # such as of a module that a program made up
        return None


def _is_source(spec: ModuleSpec) -> bool:
    """Return whether it is of a Python file, or of a folder without ``__init__.py``."""
    return spec.origin is None or isinstance(spec.loader, SourceFileLoader)


def _register(spec: ModuleSpec, folder: Path) -> str:
    """Return a name by which `_Finder` finds the module of `spec`."""
    place = spec.origin or str(folder / spec.name)
    hashed = sha256(place.encode()).hexdigest()[:8]
    name = re.sub(r"\W", "_", f"dmlbench_file_{spec.name}_{hashed}")
    _Finder.found[name] = spec, folder
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    return name
