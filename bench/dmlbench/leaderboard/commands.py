"""The commands that make a table or a row again."""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from dmlbench.errors import ConfigError
from dmlbench.leaderboard.escaping import shell
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.protocol import Protocol, load_protocol, protocol_names
from dmlbench.trial import ROW_KINDS, Part


def table_command(table: Table) -> str:
    """Return the command that runs everything that is installed on the table's data."""
    seeds = {record.trial.seed for record in table.records}
    words = ["dmlbench", "run", "--all", "--dataset", table.dataset.reference]
    words += [*_protocol(table.protocol), "--seeds", _seeds(seeds)]
    return shell([*words, *_settings("dataset", table.dataset)])


def row_command(row: Row) -> str:
    """Return the command that runs the trials of `row`, and the floors beside it."""
    trial = row.trial
    usual = {"sampler": trial.protocol.sampler, "backbone": trial.protocol.backbone}
    words = ["dmlbench", "run", "--dataset", trial.dataset.reference]
    for kind in ROW_KINDS:
        if kind in trial.parts and trial.parts[kind].reference != usual.get(kind):
            words += [f"--{kind}", trial.parts[kind].reference]
    words += [*_protocol(trial.protocol), "--seeds", _seeds({r.trial.seed for r in row.records})]
    words += _settings("dataset", trial.dataset)
    for kind in ROW_KINDS:
        if kind in trial.parts:
            words += _settings(kind, trial.parts[kind])
    return shell(words)


def _seeds(seeds: Collection[int]) -> str:
    """Return how many seeds, or which (with a comma even if there is one) if not from 0 on."""
    numbers = sorted(seeds)
    if numbers == list(range(len(numbers))):
        return str(len(numbers))
    return ",".join(map(str, numbers)) + ("," if len(numbers) == 1 else "")


def _settings(kind: str, part: Part) -> list[str]:
    words = []
    for name, value in part.changed.items():
        words += ["--set", f"{kind}.{name}={_spelt(value)}"]
    return words


@lru_cache
def _protocol(protocol: Protocol) -> tuple[str, ...]:
    """Return the options that name a protocol: one that ships, with the fields that differ.

    One's own protocol is named by its file, which must be at hand.
    """
    base = protocol.name.partition("+")[0]
    if base not in protocol_names():
        return ("--protocol", f"{base}.toml", *_changes_by_name(protocol))
    shipped, fields = _flat(load_protocol(base)), _flat(protocol)
    changed = {name: value for name, value in fields.items() if value != shipped[name]}
    return ("--protocol", base, *_set_fields(protocol, changed))


def _changes_by_name(protocol: Protocol) -> tuple[str, ...]:
    """Return the changes that the protocol's name tells, ``mine+epochs=20``."""
    ends = {change.partition("=")[0] for change in protocol.name.split("+")[1:]}
    fields = _flat(protocol)
    changed = {name: fields[name] for name in fields if name.rpartition(".")[2] in ends}
    return _set_fields(protocol, changed)


def _set_fields(protocol: Protocol, changed: dict[str, Any]) -> tuple[str, ...]:
    words: list[str] = []
    for name, value in changed.items():
        try:
            protocol.change(name, _spelt(value))
        except ConfigError:  # a list of names can't be set from the command line
            continue
        words += ["--set", f"protocol.{name}={_spelt(value)}"]
    return tuple(words)


def _flat(protocol: Protocol) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in protocol.identity().items():
        inner = value.items() if isinstance(value, dict) else ()
        values |= {f"{key}.{name}": each for name, each in inner} or {key: value}
    return values


def _spelt(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
