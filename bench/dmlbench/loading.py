"""Import one component, and check that it is one. Nothing that it does hurts another."""

import importlib
import importlib.util
import inspect
import os
import sys
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from dmlbench.entry_points import Entry
from dmlbench.errors import PluginError

# What a component must say of itself before it can be put together with others.
_STATED: dict[str, dict[str, tuple[str, ...]]] = {
    "loss": {"takes": ("pairs", "triplets", "labels")},
    "miner": {"makes": ("pairs", "triplets")},
    "backbone": {"modality": ("image", "vector")},
    "dataset": {
        "modality": ("image", "vector"),
        "evaluation": ("retrieval", "query-gallery", "cross-validation"),
    },
}


def load_entry(entry: Entry) -> Any:
    """Import an entry's class and check that it is a component of its kind.

    Raises:
        PluginError: naming the component, its distribution and the reason.
    """
    component = import_value(entry)
    if entry.kind != "hooks":
        check_kind(entry, component)
    return component


def import_value(entry: Entry) -> Any:
    """Import what an entry names, a class or a whole module, whatever it is.

    Raises:
        PluginError: naming the component, its distribution and the reason.
    """
    module_name, colon, attribute = entry.value.rpartition(":")
    if not colon:  # hooks may be a whole module
        module_name, attribute = attribute, ""
    try:
        found: Any = _import(module_name)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    # A plugin may raise anything at all while it is imported, SystemExit included.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"The {entry.kind} {entry.name!r} {entry.origin} can't be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    return found


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
    if name.endswith(".py"):
        return _import_file(Path(name).resolve())
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # `my_module:MyLoss` is found where the user stands
    return importlib.import_module(name)


def check_kind(entry: Entry, component: Any) -> None:
    """Check that a class is a component of the entry's kind and states what it must.

    Raises:
        PluginError: saying what it lacks.
    """
    if not inspect.isclass(component):
        raise PluginError(f"{entry.value} {entry.origin} is no class but {component!r}.")
    if entry.kind == "baseline":
        lacking = [name for name in ("fit", "transform") if not hasattr(component, name)]
        if lacking:
            raise PluginError(
                f"The baseline {entry.name!r} {entry.origin} has no method {lacking[0]!r}; "
                "a baseline has scikit-learn's fit and transform."
            )
        return
    from dmlbench import contracts

    base = getattr(contracts, entry.kind.capitalize())
    if not issubclass(component, base):
        raise PluginError(
            f"The {entry.kind} {entry.name!r} {entry.origin} does not derive from "
            f"dmlbench.{base.__name__}."
        )
    abstract = sorted(getattr(component, "__abstractmethods__", ()))
    if abstract:
        raise PluginError(
            f"The {entry.kind} {entry.name!r} {entry.origin} lacks: {', '.join(abstract)}."
        )
    for attribute, options in _STATED.get(entry.kind, {}).items():
        if getattr(component, attribute, None) not in options:
            raise PluginError(
                f"The {entry.kind} {entry.name!r} {entry.origin} must state {attribute!r} as one "
                f"of {', '.join(options)}."
            )
    unmined = getattr(component, "takes", "labels") == "labels"
    if not unmined and getattr(component, "default_miner", None) is None:
        raise PluginError(f"The loss {entry.name!r} {entry.origin} names no default_miner.")
