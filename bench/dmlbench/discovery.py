"""From the entry points of installed packages to the catalogue of components.

The catalogue knows names, distributions and versions without importing a plugin: it reads the
``entry_points.txt`` files on ``sys.path`` itself, because ``importlib.metadata`` takes several
times the start-up of Python to do so. A component is imported when it is used, one at a time, so
that a broken plugin spoils nothing but itself.
"""

import ast
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from dmlbench.errors import ConfigError, PluginError, guarded, nearest

KINDS = {
    "loss": "losses",
    "miner": "miners",
    "sampler": "samplers",
    "backbone": "backbones",
    "dataset": "datasets",
    "baseline": "baselines",
}
"""Each kind of component and its plural, which is also the end of its entry-point group."""

HOOKS_GROUP = "dmlbench.hooks"
_GROUPS = {f"dmlbench.{plural}": kind for kind, plural in KINDS.items()} | {HOOKS_GROUP: "hooks"}

# What a component must say of itself before it can be put together with others.
_STATED: dict[str, dict[str, tuple[str, ...]]] = {
    "loss": {"takes": ("pairs", "triplets", "labels")},
    "miner": {"makes": ("pairs", "triplets")},
    "backbone": {"modality": ("image", "vector")},
    "dataset": {
        "modality": ("image", "vector"),
        "evaluation": ("retrieval", "cross-validation"),
    },
}


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
    def qualified(self) -> str:
        """Return ``distribution:name``, which is never ambiguous."""
        return f"{self.distribution}:{self.name}" if self.distribution else self.name


@dataclass(frozen=True)
class Found:
    """What a reference names: an entry, and the argument if the entry is a family."""

    entry: Entry
    argument: str | None = None


class Catalogue:
    """All components that the installed distributions offer."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(sorted(entries))

    @classmethod
    def discover(cls, path: Iterable[str] | None = None) -> "Catalogue":
        """Read the entry points of every distribution on `path` (``sys.path`` if None)."""
        return cls(_read_entries(sys.path if path is None else path))

    def of_kind(self, kind: str) -> tuple[Entry, ...]:
        """Return the entries of a kind, sorted by name."""
        return tuple(entry for entry in self.entries if entry.kind == kind)

    def references(self, kind: str) -> list[str]:
        """Return the shortest unambiguous reference to each component of a kind."""
        entries = self.of_kind(kind)
        names = [entry.name for entry in entries]
        return [e.name if names.count(e.name) == 1 else e.qualified for e in entries]

    def find(self, kind: str, reference: str) -> Found:
        """Return what `reference` names, without importing it.

        Understood are, in this order: ``name``, ``family/argument``, ``family:argument``,
        ``distribution:name`` (also of a family), ``./file.py:Class`` and ``module:Class``.

        Raises:
            ConfigError: nothing of that name, or two distributions offer it.
        """
        entries = self.of_kind(kind)
        for name, argument in _readings(reference):
            matches = [e for e in entries if name in (e.name, e.qualified)]
            if len(matches) == 1:
                return Found(matches[0], argument)
            if matches:
                raise ConfigError(
                    f"Two installed packages offer a {kind} named {name!r}. Say which one: "
                    + " or ".join(entry.qualified for entry in matches)
                    + "."
                )
        module, colon, attribute = reference.rpartition(":")
        if colon and attribute.isidentifier() and (_is_file(module) or _is_dotted(module)):
            return Found(Entry(kind, reference, "", "", reference))
        raise ConfigError(
            f"There is no {kind} named {reference!r}."
            + nearest(reference, [e.name for e in entries])
            + " A class of your own is named as 'module:Class' or './file.py:Class'."
        )

    def meant(self, kind: str, name: str, home: str) -> str:
        """Return the reference to what the distribution `home` means by `name`: first its own.

        So what a loss calls its default miner, or a file that ships its backbone, stays the same
        when another package offers something of that name.
        """
        own = f"{home}:{name}"
        return own if name not in (known := self.references(kind)) and own in known else name

    def load(self, kind: str, reference: str) -> tuple[Found, Any]:
        """Return what `reference` names and the imported class.

        Raises:
            ConfigError: nothing of that name.
            PluginError: it can't be imported, is not a component of this kind, or is a loss whose
                default miner is not there.
        """
        found = self.find(kind, reference)
        component = load_entry(found.entry)
        if kind == "loss" and component.default_miner is not None:
            try:
                self.find(
                    "miner",
                    self.meant("miner", component.default_miner, found.entry.distribution),
                )
            except ConfigError as error:
                raise PluginError(
                    f"The loss {found.entry.name!r} {_origin(found.entry)} has no usable "
                    f"default_miner: {error}"
                ) from error
        return found, component


    def make(
        self, kind: str, reference: str, settings: Mapping[str, Any], **available: Any
    ) -> Any:
        """Return a component with its settings, given what it asks for by name.

        Raises:
            ConfigError: nothing of that name, or a setting that it does not know.
            PluginError: it can't be imported, or its constructor failed.
        """
        from dmlbench.hyperparameters import injections, resolve

        found, component = self.load(kind, reference)
        argument = [] if found.argument is None else [found.argument]
        values = resolve(component, kind, settings)
        with guarded(f"Making the {kind} {reference!r}"):
            return component(*argument, **values, **injections(component, available))


def load_entry(entry: Entry) -> Any:
    """Import an entry's class and check that it is a component of its kind.

    Raises:
        PluginError: naming the component, its distribution and the reason.
    """
    module_name, colon, attribute = entry.value.rpartition(":")
    if not colon:  # hooks may be a whole module
        module_name, attribute = attribute, ""
    try:
        component: Any = _import(module_name)
        for part in filter(None, attribute.split(".")):
            component = getattr(component, part)
    # A plugin may raise anything at all while it is imported, SystemExit included.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"The {entry.kind} {entry.name!r} {_origin(entry)} can't be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if entry.kind != "hooks":
        _check_kind(entry, component)
    return component


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


def _readings(reference: str) -> Iterator[tuple[str, str | None]]:
    """Yield each way to read a reference as a name and a family's argument."""
    yield reference, None
    for place, mark in enumerate(reference):
        if mark in "/:" and place:
            yield reference[:place], reference[place + 1 :]


def _is_file(module: str) -> bool:
    return module.endswith(".py")


def _is_dotted(module: str) -> bool:
    return all(part.isidentifier() for part in module.split("."))


def _origin(entry: Entry) -> str:
    return f"of {entry.distribution} {entry.version}" if entry.distribution else "(your own)"


@lru_cache
def _import_file(path: Path) -> ModuleType:
    name = f"dmlbench_file_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _import(name: str) -> ModuleType:
    if _is_file(name):
        return _import_file(Path(name).resolve())
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # `my_module:MyLoss` is found where the user stands
    return importlib.import_module(name)


def _check_kind(entry: Entry, component: Any) -> None:
    if not inspect.isclass(component):
        raise PluginError(f"{entry.value} {_origin(entry)} is no class but {component!r}.")
    if entry.kind == "baseline":
        lacking = [name for name in ("fit", "transform") if not hasattr(component, name)]
        if lacking:
            raise PluginError(
                f"The baseline {entry.name!r} {_origin(entry)} has no method {lacking[0]!r}; "
                "a baseline has scikit-learn's fit and transform."
            )
        return
    from dmlbench import contracts

    base = getattr(contracts, entry.kind.capitalize())
    if not issubclass(component, base):
        raise PluginError(
            f"The {entry.kind} {entry.name!r} {_origin(entry)} does not derive from "
            f"dmlbench.{base.__name__}."
        )
    abstract = sorted(getattr(component, "__abstractmethods__", ()))
    if abstract:
        raise PluginError(
            f"The {entry.kind} {entry.name!r} {_origin(entry)} lacks: {', '.join(abstract)}."
        )
    for attribute, options in _STATED.get(entry.kind, {}).items():
        if getattr(component, attribute, None) not in options:
            raise PluginError(
                f"The {entry.kind} {entry.name!r} {_origin(entry)} must state {attribute!r} as one "
                f"of {', '.join(options)}."
            )
    unmined = getattr(component, "takes", "labels") == "labels"
    if not unmined and getattr(component, "default_miner", None) is None:
        raise PluginError(f"The loss {entry.name!r} {_origin(entry)} names no default_miner.")


def _read_entries(path: Iterable[str]) -> Iterator[Entry]:
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
