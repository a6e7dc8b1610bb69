"""The catalogue of installed components, and how to name one.

It lists names, distributions and versions without importing any plugin. Each component is imported
only when it is used, so a broken plugin affects nothing else.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dmlbench.components.entry_points import Entry, read_entries
from dmlbench.components.importing import load_entry
from dmlbench.errors import ConfigError, PluginError, nearest
from dmlbench.retrieval.metrics import METRICS


@dataclass(frozen=True)
class Match:
    """What a reference names: an entry, and the argument if the entry is a family."""

    entry: Entry
    argument: str | None = None


class Catalogue:
    """All components offered by installed distributions."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(sorted(entries))

    @classmethod
    def discover(cls, path: Iterable[str] | None = None) -> "Catalogue":
        """Read the entry points of every distribution on `path` (``sys.path`` if None)."""
        entries = list(read_entries(sys.path if path is None else path))
        return cls([*entries, *_own_metrics(entries)])

    def of_kind(self, kind: str) -> tuple[Entry, ...]:
        """Return the entries of a kind, sorted by name."""
        return tuple(entry for entry in self.entries if entry.kind == kind)

    def references(self, kind: str) -> list[str]:
        """Return the shortest unambiguous reference to each component of a kind."""
        entries = self.of_kind(kind)
        names = [entry.name for entry in entries]
        return [e.name if names.count(e.name) == 1 else e.qualified for e in entries]

    def find(self, kind: str, reference: str) -> Match:
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
                return Match(matches[0], argument)
            if matches:
                raise ConfigError(
                    f"Two installed packages offer a {kind} named {name!r}. Say which one: "
                    + " or ".join(entry.qualified for entry in matches)
                    + "."
                )
        module, colon, attribute = reference.rpartition(":")
        if colon and attribute.isidentifier() and _is_module(module):
            return Match(Entry(kind, reference, "", "", reference))
        from dmlbench.components.families import in_a_family  # takes a while to load

        raise ConfigError(
            f"There is no {kind} named {reference!r}."
            + (in_a_family(self, kind, reference) or nearest(reference, [e.name for e in entries]))
            + " A class of your own is named as 'module:Class' or './file.py:Class'."
        )

    def qualify(self, kind: str, name: str, owner: str) -> str:
        """Return the reference to what the distribution `owner` means by `name`, its own if any.

        So the default miner of a loss, or the backbone of a shipped protocol, stays the same when
        another package offers something under that name.
        """
        known = self.references(kind)
        for family, _ in _readings(name):
            if family in known:
                return name
            if f"{owner}:{family}" in known:
                return f"{owner}:{name}"
        return name

    def is_same(self, kind: str, reference: str, other: str) -> bool:
        """Return whether two references name one component, however they are spelled."""
        try:
            return reference == other or self.find(kind, reference) == self.find(kind, other)
        except ConfigError:
            return False

    def load(self, kind: str, reference: str) -> tuple[Match, Any]:
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
                    self.qualify("miner", component.default_miner, found.entry.distribution),
                )
            except ConfigError as error:
                raise PluginError(
                    f"The loss {found.entry.name!r} {found.entry.origin} has no usable "
                    f"default_miner: {error}"
                ) from error
        return found, component


def _own_metrics(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield dmlbench's own metrics, which have no entry points, if it is among the installed."""
    version = next((entry.version for entry in entries if entry.distribution == "dmlbench"), None)
    if version is not None:
        for name, metric in METRICS.items():
            yield Entry(
                "metric", name, "dmlbench", version, f"{metric.__module__}:{metric.__name__}"
            )


def _readings(reference: str) -> Iterator[tuple[str, str | None]]:
    """Yield each way to read a reference as a name and a family's argument."""
    yield reference, None
    for place, mark in enumerate(reference):
        if mark in "/:" and place:
            yield reference[:place], reference[place + 1 :]


def _is_module(text: str) -> bool:
    return text.endswith(".py") or all(part.isidentifier() for part in text.split("."))
