"""Checks of a hook plugin without which no other makes sense.

Every public function here is a check.
"""

import pluggy

from dmlbench.components.hook_plugins import heard_hooks
from dmlbench.contracts.hooks import PROJECT, Specification
from dmlbench.errors import PluginError, nearest
from dmlbench.testing.subject import Subject

_HOOKS = sorted(name for name in vars(Specification) if name.startswith(f"{PROJECT}_"))


def it_hears_hooks(subject: Subject) -> None:
    """At least one function is marked with `hookimpl`, and so is each that is called as a hook."""
    heard = heard_hooks(subject.component)
    unmarked = [n for n in dir(subject.component) if n.startswith(f"{PROJECT}_") and n not in heard]
    if unmarked:
        raise PluginError(
            f"{', '.join(unmarked)} would never be called. Mark it with @hookimpl, which is "
            "imported from dmlbench."
        )
    if not heard:
        raise PluginError(
            "No function of it is marked with @hookimpl, so it hears nothing. The hooks are "
            f"{', '.join(_HOOKS)}."
        )


def its_hooks_are_known(subject: Subject) -> None:
    """Each function has the name of a hook, and arguments that this hook passes."""
    for name in heard_hooks(subject.component):
        if name not in _HOOKS:
            raise PluginError(f"There is no hook {name!r}.{nearest(name, _HOOKS)}")
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specification)
    try:
        manager.register(subject.component)
    except pluggy.PluginValidationError as error:
        raise PluginError(
            f"{error}. Take only arguments that the hook passes, under their names; see the hooks "
            "in dmlbench's docs/plugins.md."
        ) from error
