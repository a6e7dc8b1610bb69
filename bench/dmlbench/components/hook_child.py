"""What the process of other people's hook plugins does: it loads them and calls them."""

from typing import Any

import pluggy

from dmlbench.components.hook_plugins import call_alone, empty_manager, heard_hooks, texts
from dmlbench.components.importing import import_value
from dmlbench.contracts import executor  # noqa: F401 - as below
from dmlbench.contracts.hooks import COLUMNS
from dmlbench.errors import PluginError, describe_exception
from dmlbench.schemas import plan, record  # noqa: F401 - no plugin's time, when first it hears of one

LOAD = "load"
"""In place of a hook: import a plugin. What comes with it is the plugin's entry."""

_manager = empty_manager()


def answer(message: tuple[str, str, Any]) -> dict[str, Any]:
    """Do what a message asks for: the name of a hook, that of a plugin, and the hook's arguments.

    Returns:
        ``hooks`` that a loaded plugin hears, the ``value`` of columns, or the ``fault``.
    """
    hook, name, content = message
    if hook == LOAD:
        try:
            plugin = import_value(content)
            _manager.register(plugin, name=name)
            _manager.check_pending()
        except (PluginError, ValueError, pluggy.PluginValidationError) as error:
            if _manager.has_plugin(name):
                _manager.unregister(name=name)
            return {"fault": str(error)}
        return {"hooks": heard_hooks(plugin)}
    try:
        value = call_alone(_manager.get_plugin(name), hook, content)
        return {"value": texts(value or {}) if hook == COLUMNS else None}
    except PluginError as error:
        return {"fault": str(error)}
    except BaseException as error:
        return {"fault": f"{hook} raised {describe_exception(error)}"}
