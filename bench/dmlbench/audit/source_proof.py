"""Prove that edited or renamed code gives the figures of the code before: by a trial of each."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dmlbench.audit.record_differences import differences
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import Composition, compose
from dmlbench.components.source_aliases import (
    Alias,
    Renamed,
    alias_file,
    read_aliases,
    with_parts,
)
from dmlbench.components.source_hash import source_of
from dmlbench.errors import ConfigError
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Part
from dmlbench.storage.atomic import write_atomically

_HEAD = """\
# Code that was edited, or renamed, without a change to any figure. `dmlbench plugin alias RECORD`
# runs a trial of the old code with the new, and adds an entry if both are equal to the bit.
"""


@dataclass(frozen=True)
class NewAlias:
    """An alias, and the file of the plugin's package that it belongs in."""

    alias: Alias
    path: Path


def prove_aliases(
    record: Record,
    catalogue: Catalogue,
    run_again: Callable[[Record], Record],
    renamed: Mapping[str, str] | None = None,
) -> list[NewAlias]:
    """Return an alias for each part of `record` that was edited or renamed since.

    Args:
        record: a finished one, made with the code before.
        catalogue: what is installed.
        run_again: runs the trial of a record here and returns the new record.
        renamed: what names the component today, by kind of part, where its entry point is called
            otherwise. That another distribution offers it under the same name is seen without.

    Raises:
        ConfigError: nothing was edited or renamed, or the figures are not equal to the bit.
    """
    if record.status != "finished":
        raise ConfigError(f"{record.trial} failed: a record that finished is needed as proof.")
    parts = {"dataset": record.trial.dataset, **record.trial.parts}
    unknown = sorted((renamed or {}).keys() - parts.keys())
    if unknown:
        raise ConfigError(f"{record.trial} has no {unknown[0]}; it has {', '.join(parts)}.")
    today = {
        kind: (part, _today(kind, part, catalogue, renamed or {})) for kind, part in parts.items()
    }
    other = {kind: (part, one) for kind, (part, one) in today.items() if _is_other(part, one)}
    if not other:
        raise ConfigError(
            f"No code of {record.trial} was edited or renamed since: no alias is needed."
        )
    found = [_alias(part, one, record) for part, one in other.values()]
    again = run_again(with_parts(record, {kind: one.part for kind, (_, one) in other.items()}))
    unlike = [one for one in differences(record, again) if not one.is_new]
    if unlike:
        raise ConfigError(
            f"The edited code gives other figures for {record.trial}: {len(unlike)} differ, the "
            f"first is {unlike[0].field} ({unlike[0].first} there, {unlike[0].second} here). If "
            "the record is of another platform, make it again here with the old code."
        )
    return found


def add_alias(new: NewAlias) -> None:
    """Add an alias to the file of its package, which is made if need be.

    Raises:
        ConfigError: the file is damaged, or can't be written.
    """
    tables = [_as_toml(one) for one in dict.fromkeys((*read_aliases(new.path), new.alias))]
    try:
        write_atomically(new.path, "\n".join([_HEAD, *tables]))
    except OSError as error:
        raise ConfigError(
            f"{new.path} can't be written ({error.strerror}). Add this to it:\n{tables[-1]}"
        ) from error


def _as_toml(alias: Alias) -> str:
    values = alias.model_dump(exclude_none=True)
    renamed = values.pop("renamed", {})
    lines = ["[[alias]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    lines += [f"renamed.{key} = {json.dumps(value)}" for key, value in renamed.items()]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Today:
    """A part of a record as it is today."""

    kind: str
    part: Part
    composition: Composition


def _today(kind: str, part: Part, catalogue: Catalogue, renamed: Mapping[str, str]) -> _Today:
    reference = renamed.get(kind, part.located().reference)
    try:
        composition = compose(catalogue, kind, reference)
    except ConfigError as error:
        raise ConfigError(f"{error} If it was renamed, say so: --renamed {kind}=NAME.") from error
    update = {"source": composition.source()}
    if kind in renamed or composition.mismatch(part) == "package":
        origin = composition.origin()
        update |= {"reference": reference, "name": origin.name, "distribution": origin.distribution}
    return _Today(kind, part.model_copy(update=update), composition)


def _is_other(part: Part, today: _Today) -> bool:
    """Return whether trials with what there is today have another id."""
    mismatch = today.composition.mismatch(part)
    return mismatch in ("source", "package") or today.part.name != part.name


def _alias(part: Part, today: _Today, record: Record) -> NewAlias:
    kind, ingredients = today.kind, today.composition.ingredients
    if len(ingredients) > 1 or ingredients[0].inside:
        raise ConfigError(
            f"The {kind} {part.name!r} is made of several components. Take a record of the one "
            "that was edited, alone."
        )
    component, entry = ingredients[0].component, ingredients[0].entry
    path = alias_file(component.__module__)
    if path is None:
        raise ConfigError(f"The {kind} {part.name!r} lies in no folder that could keep an alias.")
    renamed = None
    if (today.part.name, today.part.distribution) != (part.name, part.distribution):
        rest = today.composition.name.removeprefix(entry.name)
        renamed = Renamed(
            distribution=entry.distribution,
            old_name=part.name.removesuffix(rest),
            old_distribution=part.distribution,
        )
    return NewAlias(
        Alias(
            kind=kind,
            name=entry.name,
            old=part.source,
            new=source_of(component).hash,
            trial=record.id,
            renamed=renamed,
        ),
        path,
    )
