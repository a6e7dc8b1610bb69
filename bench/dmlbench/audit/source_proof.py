"""Prove that edited code gives the figures of the code before: by a trial of each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dmlbench.audit.record_differences import differences
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import Composition, compose
from dmlbench.components.source_aliases import Alias, alias_file, read_aliases
from dmlbench.components.source_hash import source_of
from dmlbench.errors import ConfigError
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Part, Trial
from dmlbench.storage.atomic import write_atomically

_HEAD = """\
# Code that was edited without a change to any figure. `dmlbench plugin alias RECORD` runs a trial
# of the old code with the new, and adds an entry if both records are equal to the bit.
"""


@dataclass(frozen=True)
class NewAlias:
    """An alias, and the file of the plugin's package that it belongs in."""

    alias: Alias
    path: Path


def prove_aliases(
    record: Record, catalogue: Catalogue, run_again: Callable[[Record], Record]
) -> list[NewAlias]:
    """Return an alias for each part of `record` whose source was edited since.

    Args:
        record: a finished one, made with the code before.
        catalogue: what is installed.
        run_again: runs the trial of a record here and returns the new record.

    Raises:
        ConfigError: nothing was edited, or the figures are not equal to the bit.
    """
    if record.status != "finished":
        raise ConfigError(f"{record.trial} failed: a record that finished is needed as proof.")
    edited = _edited(record.trial, catalogue)
    if not edited:
        raise ConfigError(f"No code of {record.trial} was edited since: no alias is needed.")
    found = [_alias(kind, part, one, record) for kind, (part, one) in edited.items()]
    sources = {kind: one.source() for kind, (_, one) in edited.items()}
    again = run_again(_with_sources(record, sources))
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
    tables = [
        "[[alias]]\n" + "".join(f'{key} = "{value}"\n' for key, value in one.model_dump().items())
        for one in dict.fromkeys((*read_aliases(new.path), new.alias))
    ]
    try:
        write_atomically(new.path, "\n".join([_HEAD, *tables]))
    except OSError as error:
        raise ConfigError(
            f"{new.path} can't be written ({error.strerror}). Add this to it:\n{tables[-1]}"
        ) from error


def _edited(trial: Trial, catalogue: Catalogue) -> dict[str, tuple[Part, Composition]]:
    parts = {"dataset": trial.dataset, **trial.parts}
    found = {
        kind: (part, compose(catalogue, kind, part.located().reference))
        for kind, part in parts.items()
    }
    return {
        kind: (part, one) for kind, (part, one) in found.items() if one.mismatch(part) == "source"
    }


def _alias(kind: str, part: Part, now: Composition, record: Record) -> NewAlias:
    if len(now.ingredients) > 1 or now.ingredients[0].inside:
        raise ConfigError(
            f"The {kind} {part.name!r} is made of several components. Take a record of the one "
            "that was edited, alone."
        )
    component = now.ingredients[0].component
    path = alias_file(component.__module__)
    if path is None:
        raise ConfigError(f"The {kind} {part.name!r} lies in no folder that could keep an alias.")
    new = source_of(component).hash
    alias = Alias(kind=kind, name=part.name, old=part.source, new=new, trial=record.id)
    return NewAlias(alias, path)


def _with_sources(record: Record, sources: dict[str, str]) -> Record:
    """Return `record` as one of the code that is here, by kind of part."""
    trial = record.trial

    def now(kind: str, part: Part) -> Part:
        return part.model_copy(update={"source": sources.get(kind, part.source)})

    parts = {kind: now(kind, part) for kind, part in trial.parts.items()}
    fields = {name: getattr(trial, name) for name in type(trial).model_fields}
    trial = type(trial)(**fields | {"dataset": now("dataset", trial.dataset), "parts": parts})
    return record.model_copy(update={"id": trial.id, "trial": trial})
