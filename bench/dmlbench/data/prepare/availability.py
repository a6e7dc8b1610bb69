"""Whether a dataset is ready here, and what ``dmlbench data list`` says about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmlbench.components.entry_points import Entry
from dmlbench.components.hyperparameters import family_argument, hyperparameters
from dmlbench.counted import counted
from dmlbench.errors import PluginError, guarded


@dataclass(frozen=True)
class Overview:
    """A dataset in a few lines.

    Attributes:
        state: ``ready``, ``a part is here``, ``not here`` or ``your own``.
        details: lines about its content, licence, citation and how to get it.
    """

    state: str
    details: tuple[str, ...]


def how_to_get(entry: Entry, component: Any, data_dir: Path | None, **settings: Any) -> str | None:
    """Return None if a dataset is ready on this machine, else how to get it.

    Raises:
        PluginError: it is broken: its constructor or its `missing` raised an error, or `missing`
            returned neither None nor a sentence.
    """
    reason: Any
    try:
        reason = component(**settings).missing(data_dir)
    except (Exception, SystemExit) as error:  # even a DataError: missing data are an answer
        raise _broken(entry, f"{type(error).__name__}: {error}") from error
    if reason is not None and not isinstance(reason, str):
        raise _broken(entry, f"its missing() returned {reason!r}, neither None nor a sentence")
    return reason or None


def _broken(entry: Entry, reason: str) -> PluginError:
    return PluginError(f"The dataset {entry.name!r} {entry.origin} failed: {reason}")


def overview(entry: Entry, component: Any, data_dir: Path | None) -> Overview:
    """Return a short description of a dataset, and whether it is ready here.

    Raises:
        PluginError: it is broken, see `how_to_get`, or its description can't be shown.
    """
    with guarded(f"The dataset {entry.name!r} {entry.origin}"):
        return _overview(entry, component, data_dir)


def _overview(entry: Entry, component: Any, data_dir: Path | None) -> Overview:
    facts = [
        ", ".join(
            f"{split} {counted(items, 'item')} of {counted(classes, 'class', 'classes')}"
            for split, (items, classes) in component.expected.items()
        ),
        component.licence and f"licence: {component.licence}",
        component.paper and f"cite: {component.paper}",
    ]
    if argument := family_argument(component):
        return Overview("your own", (f"as {entry.name}:{argument.upper()}", *filter(None, facts)))
    reason = how_to_get(entry, component, data_dir)
    if reason is None:
        return Overview("ready", tuple(filter(None, facts)))
    state = "not here"
    may_be_partial = "partial" in hyperparameters(component)
    if may_be_partial and how_to_get(entry, component, data_dir, partial=True) is None:
        state = "a part is here"
    homes = [home for archive in component.archives for home in archive.homes]
    facts.append(f"get it: {reason}")
    facts.append(homes and f"was at: {', '.join(homes)} (may have moved)")
    return Overview(state, tuple(filter(None, facts)))
