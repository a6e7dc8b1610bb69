"""Aliases of source hashes: edited code that gives the figures of the code before.

A package keeps them in a file beside its modules, `FILE`. A trial with the edited code has the hash
of the first code, so published rows go on. ``dmlbench plugin alias`` proves and adds one.
"""

import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from dmlbench.components.catalogue import Catalogue
from dmlbench.schemas.base import Schema, read_toml
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Part

FILE = "source_aliases.toml"


class Alias(Schema):
    """Two hashes of source code that give the same figures."""

    kind: str
    name: str
    """Of the component, for the reader."""
    old: str = Field(pattern="^[0-9a-f]{64}$")
    new: str = Field(pattern="^[0-9a-f]{64}$")
    trial: str = Field(pattern="^[0-9a-f]{16}$")
    """Id of the trial that was equal to the bit."""


class AliasFile(Schema):
    """What a file of aliases holds."""

    alias: tuple[Alias, ...] = ()


def aliases_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the old hash of each new one, as the packages of `modules` tell.

    Raises:
        ConfigError: a file of aliases is damaged.
    """
    files = dict.fromkeys(path for module in modules if (path := alias_file(module)))
    return {alias.new: alias.old for path in files for alias in read_aliases(path)}


def installed_aliases(catalogue: Catalogue) -> dict[str, str]:
    """Return the old hash of each new one, as all installed plugins tell; none is imported.

    Raises:
        ConfigError: a file of aliases is damaged.
    """
    return aliases_of(entry.value.rpartition(":")[0] for entry in catalogue.entries)


def first_source(source: str, aliases: Mapping[str, str]) -> str:
    """Return the hash under which rows with the code of hash `source` are kept.

    Example:
        >>> first_source("c", {"c": "b", "b": "a"}), first_source("x", {"c": "b"})
        ('a', 'x')
    """
    seen = {source}
    while (older := aliases.get(source)) is not None and older not in seen:
        seen.add(older)
        source = older
    return source


def with_first_sources(record: Record, aliases: Mapping[str, str]) -> Record:
    """Return `record` as it would be if its code had always had the first hash."""

    def renamed(part: Part) -> Part:
        return part.model_copy(update={"source": first_source(part.source, aliases)})

    trial = record.trial
    if not any(part.source in aliases for part in (trial.dataset, *trial.parts.values())):
        return record
    parts = {kind: renamed(part) for kind, part in trial.parts.items()}
    fields = {name: getattr(trial, name) for name in type(trial).model_fields}
    trial = type(trial)(**fields | {"dataset": renamed(trial.dataset), "parts": parts})
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
