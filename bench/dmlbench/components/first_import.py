"""The first import of a stranger's module happens in a child process.

There it may hang, end the interpreter or crash without harm. What was seen to import well is
remembered in the cache folder, by the content of its files: it is not tried again.
"""

import json
import os
import pickle
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from dmlbench.components.child_process import ChildProcess, EndedError, patience
from dmlbench.components.distributions import owners, requirements
from dmlbench.components.entry_points import Entry, read_entries
from dmlbench.components.file_import import name_of_file
from dmlbench.components.importing import base_class, look_in_current_folder, module_and_attribute
from dmlbench.components.source_files import is_file, read_bytes
from dmlbench.errors import ConfigError, PluginError
from dmlbench.storage.atomic import write_atomically
from dmlbench.storage.cache import cache_folder

VARIABLE = "DMLBENCH_TRY_IMPORTS"
"""Where it is "no", strangers' modules are imported as dmlbench's own are."""
_PREPARE_SECONDS = 600.0
"""Limit for imports that are no stranger's, such as of torch from a slow disk."""


class _Module(NamedTuple):
    """A stranger's module, or file, with a hash of its content."""

    name: str
    content: str


_tried: dict[_Module, str] = {}
"""Modules that this process had tried, and what is wrong with each; "" if nothing is."""


def refuse_bad_imports(entry: Entry) -> None:
    """Check that this process may import the module of an entry.

    Raises:
        PluginError: its first import hung, ended the process, or raised what would end a run.
    """
    if reason := why_refused(entry):
        raise PluginError(
            f"The {entry.kind} {entry.name!r} {entry.origin} can't be loaded: {reason}."
        )


def why_refused(entry: Entry) -> str:
    """Return why this process may not import the module of an entry; "" if it may."""
    try_first_imports([entry])
    module = _strangers_module(entry)
    return _tried.get(module, "") if module else ""


def try_first_imports(entries: Iterable[Entry]) -> None:
    """Import those modules of `entries` in a child process that are not known to import well.

    All go into one process while all is well. Ordinary exceptions are left to the import here.
    """
    if os.environ.get(VARIABLE) == "no":
        return
    unknown = {
        module: entry
        for entry in entries
        if (module := _strangers_module(entry))
        and module not in _tried
        and not _is_remembered(module)
    }
    while unknown:
        unknown = _try(unknown)


def _try(modules: Mapping[_Module, Entry]) -> dict[_Module, Entry]:
    """Import modules in one process; return those that it did not get to."""
    waiting = dict(modules)
    kinds = {entry.kind for entry in waiting.values()} - {"baseline", "hooks"}  # without base
    child = ChildProcess("dmlbench.components.import_child")
    try:
        child.ask(pickle.dumps(kinds), _PREPARE_SECONDS, lambda: [base_class(k) for k in kinds])
        for module, entry in modules.items():
            try:
                answer = child.ask(pickle.dumps(entry), patience())
            except EndedError as error:
                if len(waiting) < len(modules):  # another module may be to blame: try it alone
                    return waiting
                answer = {"refused": str(error)}
            del waiting[module]
            _tried[module] = f"its import {answer['refused']}" if "refused" in answer else ""
            if "refused" in answer:
                return waiting
            _remember(module, answer)
    except EndedError as error:
        raise PluginError(f"Imports can't be tried in a child process: dmlbench {error}") from error
    finally:
        child.end()
    return waiting


def _strangers_module(entry: Entry) -> _Module | None:
    """Return what must be imported for an entry, if it is a stranger's, and not imported yet."""
    name = module_and_attribute(entry)[0]
    if entry.distribution == "dmlbench" or name in sys.modules:
        return None
    try:
        return _of_file(Path(name)) if name.endswith(".py") else _of_package(name)
    except (OSError, ImportError, ValueError):  # the import here will say so
        return None


def _of_file(path: Path) -> _Module | None:
    path = path.resolve()
    if not path.is_file() or name_of_file(path) in sys.modules:  # a pipe may never end
        return None
    return _Module(str(path), sha256(path.read_bytes()).hexdigest())


def _of_package(name: str) -> _Module | None:
    top = name.partition(".")[0]
    ours = top in sys.stdlib_module_names or top in _our_modules()
    if ours or owners(top).keys() & requirements():
        return None
    look_in_current_folder()
    spec = find_spec(top)
    if spec is None:
        return None
    return _Module(name, _hash(spec.origin) if spec.origin else "")


@cache
def _our_modules() -> frozenset[str]:
    ours = (entry for entry in read_entries(sys.path) if entry.distribution == "dmlbench")
    return frozenset({"dmlbench", *(module_and_attribute(e)[0].partition(".")[0] for e in ours)})


def _hash(file: str) -> str:
    """Return a hash of a file's content; "" if it can't be read."""
    path = Path(file)
    try:
        return sha256(read_bytes(path)).hexdigest() if is_file(path) else ""
    except OSError:
        return ""


def _is_remembered(module: _Module) -> bool:
    """Return whether the module was seen to import well, and its files are what they were."""
    try:
        told = json.loads(_memory(module).read_text(encoding="utf-8"))
        files, libraries = told["files"].items(), told["libraries"].items()
        return (
            (told["module"], told["python"]) == (module.name, sys.version)
            and all(_hash(file) == content for file, content in files)
            and all(owners(top) == versions for top, versions in libraries)
        )
    except (OSError, ConfigError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _remember(module: _Module, made_of: Mapping[str, Any]) -> None:
    files = {file: _hash(file) for file in made_of.get("files", ())}
    if not files:
        return
    told = {"module": module.name, "python": sys.version, "files": files}
    told["libraries"] = made_of["libraries"]
    with suppress(OSError, ConfigError):  # then it is tried again the next time
        path = _memory(module)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(told, indent=1))


def _memory(module: _Module) -> Path:
    """Return the file that remembers a module; its folder need not exist.

    Raises:
        ConfigError: there is no cache folder.
    """
    return cache_folder() / "imports" / f"{sha256(module.name.encode()).hexdigest()[:16]}.json"
