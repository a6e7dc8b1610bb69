"""The hook plugins that can be loaded, and how they are called.

Those of other people live in a process of their own, see `hook_process`; here stand-ins pass on
what they are to hear. dmlbench's own, and those that a program hands over, are called here.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pluggy

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.importing import load_entry
from dmlbench.contracts.hooks import PROJECT, Specification, hookimpl
from dmlbench.errors import PluginError, describe_exception

if TYPE_CHECKING:
    from dmlbench.components.hook_process import HookProcess


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


def empty_manager() -> pluggy.PluginManager:
    """Return a manager that knows the hooks, without plugins."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specification)
    return manager


@contextmanager
def plugin_manager(catalogue: Catalogue) -> Iterator[pluggy.PluginManager]:
    """Yield a manager with every hook plugin that can be loaded; one that can't is warned of.

    On leaving, the plugins of other people have their time limit to hear what is left.
    """
    manager = empty_manager()
    theirs = {}
    for entry in catalogue.of_kind("hooks"):
        if entry.distribution == "dmlbench":
            manager.register(load_entry(entry), name=entry.qualified)
        else:
            theirs[entry.qualified] = entry
    if not theirs:
        yield manager
        return
    from dmlbench.components.hook_process import HookProcess

    process = HookProcess(theirs)
    over = False
    try:
        for name, heard in process.heard.items():
            manager.register(_StandIn(process, name, heard), name=name)
        yield manager
        over = True
    finally:
        process.close(wait=over)


def notify(manager: pluggy.PluginManager, hook: str, **news: Any) -> None:
    """Call all plugins that hear `hook`. One that raises is warned of and called no more."""
    implementations = getattr(manager.hook, hook).get_hookimpls()
    for implementation in reversed(implementations):  # the order in which pluggy calls them
        plugin = implementation.plugin
        try:
            call_alone(plugin, hook, news)
        except Exception as error:
            name = plugin_name(manager, plugin)
            manager.unregister(plugin)
            warnings.warn(
                f"The hook plugin {name} is switched off for the rest of the run: {hook} raised "
                f"{describe_exception(error)}",
                stacklevel=2,
            )


def call_alone(plugin: object, hook: str, news: Mapping[str, Any]) -> Any:
    """Call a hook as `plugin` alone implements it, and return what that returns."""
    manager = empty_manager()
    manager.register(plugin)
    results = getattr(manager.hook, hook)(**news)
    return results[0] if results else None  # pluggy leaves None out


def plugin_name(manager: pluggy.PluginManager, plugin: object) -> str:
    """Return what users know a plugin as: its name, or its class if it was given none."""
    name = manager.get_name(plugin)
    return type(plugin).__name__ if name is None or name == str(id(plugin)) else name


def texts(offered: Any) -> dict[str, str]:
    """Return what a plugin offers as columns.

    Raises:
        PluginError: it is not a mapping from text to text.
    """
    if not isinstance(offered, Mapping):
        raise PluginError(f"expected a mapping from heading to text, not {offered!r}")
    for heading, text in offered.items():
        if not isinstance(heading, str) or not isinstance(text, str):
            raise PluginError(f"heading and text must be str, not {heading!r}: {text!r}")
    return dict(offered)


class _StandIn:
    """Passes on to the process what one of its plugins is to hear."""

    def __init__(self, process: "HookProcess", name: str, heard: list[str]) -> None:
        self._process = process
        self._name = name
        for hook in set(heard_hooks(self)) - set(heard):
            setattr(self, hook, None)  # so that pluggy does not find it

    def _tell(self, hook: str, **news: Any) -> None:
        self._process.tell(self._name, hook, news)

    @hookimpl
    def dmlbench_run_started(self, plan: Any) -> None:
        self._tell("dmlbench_run_started", plan=plan)

    @hookimpl
    def dmlbench_trial_started(self, trial: Any) -> None:
        self._tell("dmlbench_trial_started", trial=trial)

    @hookimpl
    def dmlbench_epoch_finished(self, trial: Any, metrics: Any) -> None:
        self._tell("dmlbench_epoch_finished", trial=trial, metrics=metrics)

    @hookimpl
    def dmlbench_trial_progressed(self, trial: Any, doing: Any) -> None:
        self._tell("dmlbench_trial_progressed", trial=trial, doing=doing)

    @hookimpl
    def dmlbench_trial_finished(self, trial: Any, record: Any) -> None:
        self._tell("dmlbench_trial_finished", trial=trial, record=record)

    @hookimpl
    def dmlbench_run_finished(self, records: Any) -> None:
        self._tell("dmlbench_run_finished", records=records)

    @hookimpl
    def dmlbench_leaderboard_columns(self, records: Any) -> Any:
        return self._process.ask(self._name, "dmlbench_leaderboard_columns", {"records": records})
