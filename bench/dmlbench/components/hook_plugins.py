"""The hook plugins that can be loaded."""

import warnings

import pluggy

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.importing import load_entry
from dmlbench.contracts.hooks import PROJECT, Specification
from dmlbench.errors import PluginError


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
