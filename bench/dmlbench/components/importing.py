"""Import a single component and check it. A broken one affects no other."""

import importlib
import inspect
import os
import sys
from contextlib import redirect_stdout
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from dmlbench.components.entry_points import Entry
from dmlbench.errors import PluginError, describe_exception

_VERY_NEAR = 0.85
"""Similarity (difflib) above which a name is taken for a misspelling of one in the contract."""

# What a component must declare before it can be combined with others.
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

    A stranger's module that is not known to import well is tried in a child process first.

    Raises:
        PluginError: naming the component, its distribution and the reason.
    """
    if entry.distribution != "dmlbench":
        from dmlbench.components.first_import import refuse_bad_imports

        refuse_bad_imports(entry)
    component = import_value(entry)
    if entry.kind != "hooks":
        check_kind(entry, component)
    return component


def import_value(entry: Entry) -> Any:
    """Import what an entry names, a class or a whole module, without checking it.

    What its module prints goes to standard error: a command's output is its own.

    Raises:
        PluginError: naming the component, its distribution and the reason.
    """
    module_name, attribute = module_and_attribute(entry)
    try:
        with redirect_stdout(sys.stderr):
            found: Any = _import(module_name)
            for part in filter(None, attribute.split(".")):
                found = getattr(found, part)
    except KeyboardInterrupt:  # a real one: a stranger's would have come in the child process
        raise
    except BaseException as error:  # a plugin may raise anything while it is imported
        raise PluginError(
            f"The {entry.kind} {entry.name!r} {entry.origin} can't be loaded: "
            f"{describe_exception(error)}"
        ) from error
    return found


def module_and_attribute(entry: Entry) -> tuple[str, str]:
    """Return the module or file that an entry names, and what of it; "" for a whole module."""
    module, colon, attribute = entry.value.rpartition(":")
    return (module, attribute) if colon else (attribute, "")  # hooks may be a whole module


def _import(name: str) -> ModuleType:
    if name.endswith(".py"):
        from pathlib import Path

        from dmlbench.components.file_import import import_file

        return import_file(Path(name))
    look_in_current_folder()
    return importlib.import_module(name)


def look_in_current_folder() -> None:
    """Have imports find `my_module:MyLoss` in the current folder, after all other places."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())


def base_class(kind: str) -> type:
    """Return the class that components of a kind derive from; baselines have none."""
    modules = {"executor": "contracts.executor", "metric": "retrieval.contract"}
    module = importlib.import_module(f"dmlbench.{modules.get(kind, 'contracts.components')}")
    base: type = getattr(module, kind.capitalize())
    return base


def check_kind(entry: Entry, component: Any) -> None:
    """Check that a class is a component of the entry's kind and declares what that kind requires.

    Raises:
        PluginError: saying what it lacks, or misspells.
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
    base = base_class(entry.kind)
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
    if entry.kind == "metric":
        for attribute in ("title", "needs"):
            if not hasattr(component, attribute) and "__init__" not in vars(component):
                raise PluginError(
                    f"The metric {entry.name!r} {entry.origin} must state {attribute!r}; see "
                    "dmlbench.Metric."
                )
    unmined = getattr(component, "takes", "labels") == "labels"
    if not unmined and getattr(component, "default_miner", None) is None:
        raise PluginError(f"The loss {entry.name!r} {entry.origin} names no default_miner.")
    _check_names(entry, component, base)
    if entry.kind == "loss":
        _check_starts_epochs(entry, component)


def _check_names(entry: Entry, component: Any, base: type) -> None:
    """Check that a class misspells none of the contract's optional names.

    Raises:
        PluginError: one of its names is not in the contract, but is very close to one that is.
    """
    contract = {name for name in {**vars(base), **inspect.get_annotations(base)} if name[0] != "_"}
    own = [each for each in component.__mro__ if issubclass(each, base) and each is not base]
    stated = {name: value for each in own for name, value in vars(each).items()}
    for name in sorted(stated.keys() - contract):
        alike = [
            one
            for one in contract - stated.keys()
            if callable(getattr(base, one, None)) == callable(stated[name])
        ]
        near = get_close_matches(name, alike, n=1, cutoff=_VERY_NEAR)
        if near and not hasattr(base, name):
            raise PluginError(
                f"The {entry.kind} {entry.name!r} {entry.origin} states {name!r}, which nobody "
                f"reads. Did you mean {near[0]!r}? If not, choose a name less like it."
            )


def _check_starts_epochs(entry: Entry, component: Any) -> None:
    """Check that a loss with `start_epoch` declares it; a loss around another asks the inner one.

    Raises:
        PluginError: it doesn't, so the method would never be called.
    """
    from dmlbench.components.hyperparameters import family_argument
    from dmlbench.contracts.components import Loss

    overridden = component.start_epoch is not Loss.start_epoch
    if overridden and not component.starts_epochs and family_argument(component) != "loss":
        raise PluginError(
            f"The loss {entry.name!r} {entry.origin} has a method start_epoch that is never "
            "called. State starts_epochs = True."
        )
