"""Aliases: components whose code was edited, or that were renamed, and that give the same figures.

A package keeps them in a file beside its modules, `FILE`. A trial with the edited code has the hash
of the first code, and one of a renamed component its first name, so published rows go on.
``dmlbench plugin alias`` proves and adds one.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from dmlbench.components.catalogue import Catalogue
from dmlbench.schemas.base import Schema, read_toml
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Part

FILE = "source_aliases.toml"

_ENTRY = re.compile(r"[^/:]*")
"""What in a name is that of the entry point: a family's argument follows."""

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Origin(NamedTuple):
    """What a component is known by."""

    kind: str
    distribution: str
    name: str
    source: str
    """Hash of its source code."""


class Renamed(Schema):
    """What a component and its package are called, and were called before."""

    distribution: str
    old_name: str
    old_distribution: str


class Alias(Schema):
    """Two states of a component that give the same figures."""

    kind: str
    name: str
    """Of the entry point."""
    old: Hash
    new: Hash
    trial: str = Field(pattern="^[0-9a-f]{16}$")
    """Id of the trial that was equal to the bit."""
    renamed: Renamed | None = None
    """If it was."""


class AliasFile(Schema):
    """What a file of aliases holds."""

    alias: tuple[Alias, ...] = ()


@dataclass(frozen=True)
class Aliases:
    """What is known of components as they were before.

    Example:
        >>> aliases = Aliases({"c": "b", "b": "a"}, {})
        >>> aliases.first_source("c"), aliases.first_source("x")
        ('a', 'x')
    """

    sources: Mapping[str, str]
    """The old hash of each new one."""
    origins: Mapping[Origin, Origin]
    """What each renamed component was before."""

    def first_source(self, source: str) -> str:
        """Return the hash under which rows with the code of hash `source` are kept."""
        seen = {source}
        while (older := self.sources.get(source)) is not None and older not in seen:
            seen.add(older)
            source = older
        return source

    def first(self, origin: Origin) -> Origin:
        """Return what the rows of a component are kept under."""
        seen = {origin}
        while (older := self._before(origin)) is not None and older not in seen:
            seen.add(older)
            origin = older
        return origin

    def _before(self, origin: Origin) -> Origin | None:
        if renamed := _with_entry(origin, self.origins):
            return renamed
        source = self.sources.get(origin.source)
        return None if source is None else origin._replace(source=source)

    def today(self, first: Origin) -> Origin | None:
        """Return what a component is called today; None if it was not renamed."""
        return _with_entry(first, self._today)

    @cached_property
    def _today(self) -> Mapping[Origin, Origin]:
        return {self.first(new): new for new in self.origins}


def _with_entry(origin: Origin, found: Mapping[Origin, Origin]) -> Origin | None:
    """Return what is `found` for a component, whose name may have a family's argument."""
    entry = _ENTRY.match(origin.name)[0]  # type: ignore[index]  # it matches any text
    other = found.get(origin._replace(name=entry))
    return other and other._replace(name=other.name + origin.name[len(entry) :])


def aliases_of(modules: Iterable[str]) -> Aliases:
    """Return the aliases that the packages of `modules` tell.

    Raises:
        ConfigError: a file of aliases is damaged.
    """
    files = dict.fromkeys(path for module in modules if (path := alias_file(module)))
    found = [alias for path in files for alias in read_aliases(path)]
    origins = {
        Origin(one.kind, one.renamed.distribution, one.name, one.new): Origin(
            one.kind, one.renamed.old_distribution, one.renamed.old_name, one.old
        )
        for one in found
        if one.renamed
    }
    return Aliases({one.new: one.old for one in found if not one.renamed}, origins)


def installed_aliases(catalogue: Catalogue) -> Aliases:
    """Return the aliases that all installed plugins tell; none is imported.

    Raises:
        ConfigError: a file of aliases is damaged.
    """
    return aliases_of(entry.value.rpartition(":")[0] for entry in catalogue.entries)


def origin_of(kind: str, part: Part) -> Origin:
    """Return what the component `part` of a trial is known by."""
    return Origin(kind, part.distribution, part.name, part.source)


def as_first(record: Record, aliases: Aliases) -> Record:
    """Return `record` as it would be if its components had always been as they were first."""

    def first(kind: str, part: Part) -> dict[str, Any]:
        was = aliases.first(origin_of(kind, part))
        return {"name": was.name, "distribution": was.distribution, "source": was.source}

    return _changed(record, first)


def as_today(record: Record, aliases: Aliases) -> Record:
    """Return `record` with what its components are called today, and with the ids that it has.

    Args:
        record: as of `as_first`.
        aliases: which were renamed.
    """

    def today(kind: str, part: Part) -> dict[str, Any]:
        now = aliases.today(origin_of(kind, part))
        if now is None:
            return {}
        return {
            "name": now.name,
            "distribution": now.distribution,
            "reference": now.name,
            "identified_as": {"name": part.name, "distribution": part.distribution},
        }

    return _changed(record, today) if aliases.origins else record


def loadable(record: Record, aliases: Aliases) -> Record:
    """Return `record` with references to its components by what they are called today."""

    def reference(kind: str, part: Part) -> dict[str, str]:
        now = aliases.today(origin_of(kind, part))
        return {"reference": now.name} if now else {}

    return _changed(record, reference) if aliases.origins else record


def _changed(record: Record, update: Callable[[str, Part], Mapping[str, Any]]) -> Record:
    """Return `record` with what `update` returns for each part, a value by the field's name."""
    parts = {"dataset": record.trial.dataset, **record.trial.parts}
    changes = {kind: update(kind, part) for kind, part in parts.items()}
    changed = {
        kind: part.model_copy(update=changes[kind])
        for kind, part in parts.items()
        if any(getattr(part, name) != value for name, value in changes[kind].items())
    }
    return with_parts(record, changed) if changed else record


def with_parts(record: Record, changed: Mapping[str, Part]) -> Record:
    """Return `record` with other parts, by kind, and the id that it has with them."""
    trial = record.trial
    fields = {name: getattr(trial, name) for name in type(trial).model_fields}
    dataset = changed.get("dataset", trial.dataset)
    parts = {kind: changed.get(kind, part) for kind, part in trial.parts.items()}
    trial = type(trial)(**fields | {"dataset": dataset, "parts": parts})
    return record.model_copy(update={"id": trial.id, "trial": trial})


def alias_file(module: str) -> Path | None:
    """Return where the package of a module keeps its aliases; None if it isn't there."""
    if module.endswith(".py"):
        return Path(module).resolve().parent / FILE
    top = module.partition(".")[0]
    try:
        spec = getattr(sys.modules.get(top), "__spec__", None) or find_spec(top)
    except (ImportError, ValueError):
        return None
    for place in (spec and spec.submodule_search_locations) or ():
        return Path(place) / FILE
    return Path(spec.origin).parent / FILE if spec and spec.has_location and spec.origin else None


def read_aliases(path: Path) -> tuple[Alias, ...]:
    """Return the aliases in a file, none if there is no file.

    Raises:
        ConfigError: the file is damaged.
    """
    return read_toml(AliasFile, path).alias if path.is_file() else ()
