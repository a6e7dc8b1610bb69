"""The hook plugins that can be loaded."""

import warnings
from typing import Any

import pluggy

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.importing import load_entry
from dmlbench.contracts.hooks import PROJECT, Specification
from dmlbench.errors import PluginError


def heard_hooks(plugin: Any) -> list[str]:
    """Return the names of the functions of a module or an object that are marked with `hookimpl`.

    Example:
        >>> from dmlbench import hookimpl
        >>> class Ear:
        ...     @hookimpl
        ...     def dmlbench_run_started(self, plan): ...
        >>> heard_hooks(Ear())
        ['dmlbench_run_started']
    """
    manager = pluggy.PluginManager(PROJECT)
    return [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]


def plugin_manager(catalogue: Catalogue) -> pluggy.PluginManager:
    """Return a manager with every hook plugin that can be loaded.

    One that can't is left out with a warning: pluggy's own loader would let it end the run.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specification)
    for entry in catalogue.of_kind("hooks"):
        try:
            manager.register(load_entry(entry), name=entry.qualified)
            manager.check_pending()
        except (PluginError, ValueError, pluggy.PluginValidationError) as error:
            manager.unregister(name=entry.qualified)
            warnings.warn(f"The hook plugin {entry.qualified} is left out: {error}", stacklevel=2)
    return manager
