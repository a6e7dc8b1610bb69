"""The commands that reproduce a table or a row."""

import json
from collections.abc import Collection
from functools import lru_cache, reduce
from typing import Any

from dmlbench.leaderboard.formats.escaping import shell
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.protocol import PAPER, Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.shipped_protocols import protocol_names
from dmlbench.schemas.trial import ROW_KINDS, Part


def table_command(table: Table) -> str:
    """Return the command that runs everything that is installed on the table's data."""
    seeds = {record.trial.seed for record in table.records}
    words = ["dmlbench", "run", "--all", "--dataset", table.dataset.reference]
    backbones = [row.trial.parts["backbone"] for row in table.rows if "backbone" in row.trial.parts]
    references = {part.reference for part in backbones}
    if len(references) == 1 and references != {table.protocol.backbone}:
        words += ["--backbone", *references]
    words += [*_protocol(table.protocol, _key(table.dataset)), "--seeds", _seeds(seeds)]
    words += _settings("dataset", table.dataset)
    if backbones and all(part.identity() == backbones[0].identity() for part in backbones):
        words += _settings("backbone", backbones[0])
    return shell(words)


def row_command(row: Row) -> str:
    """Return the command that runs the trials of `row`, and its floors."""
    trial = row.trial
    usual = {"sampler": trial.protocol.sampler, "backbone": trial.protocol.backbone}
    words = ["dmlbench", "run", "--dataset", trial.dataset.reference]
    if trial.protocol.sampler == PAPER and "sampler" in trial.parts:
        usual["sampler"] = trial.parts["sampler"].reference
    for kind in ROW_KINDS:
        if kind in trial.parts and trial.parts[kind].reference != usual.get(kind):
            words += [f"--{kind}", trial.parts[kind].reference]
    seeds = {record.trial.seed for record in row.records}
    words += [*_protocol(trial.protocol, _key(trial.dataset)), "--seeds", _seeds(seeds)]
    words += _settings("dataset", trial.dataset)
    for kind in ROW_KINDS:
        if kind in trial.parts:
            words += _settings(kind, trial.parts[kind])
    return shell(words)


def _seeds(seeds: Collection[int]) -> str:
    """Return the number of seeds, or a list (``3,`` if it is one) if they do not count from 0."""
    numbers = sorted(seeds)
    if numbers == list(range(len(numbers))):
        return str(len(numbers))
    return ",".join(map(str, numbers)) + ("," if len(numbers) == 1 else "")


def _settings(kind: str, part: Part) -> list[str]:
    words = []
    for name, value in part.changed.items():
        words += ["--set", f"{kind}.{name}={_spelt(value)}"]
    return words


def _key(dataset: Part) -> str | None:
    """Return the key of a dataset in shipped protocols, which are about dmlbench's own alone."""
    return dataset.name if dataset.distribution == "dmlbench" else None


@lru_cache
def _protocol(protocol: Protocol, dataset: str | None) -> tuple[str, ...]:
    """Return the options that select a protocol: a shipped one, with the fields that differ.

    A user's protocol is named by its file, which must exist; the fields changed in it are part of
    its name, ``mine+epochs=20``.
    """
    base, *changes = protocol.name.split("+")
    if base in protocol_names():
        shipped = load_protocol(base, dataset=dataset)
        names = [n for n in protocol.fields() if _value(protocol, n) != _value(shipped, n)]
    else:
        base += ".toml"
        ends = {change.partition("=")[0] for change in changes}
        if "frozen" in ends:
            ends.add("tuning")  # as it is called now
        names = [name for name in protocol.fields() if name.rpartition(".")[2] in ends]
    words = ["--protocol", base]
    for name in names:
        words += ["--set", f"protocol.{name}={_spelt(_value(protocol, name))}"]
    return tuple(words)


def _value(protocol: Protocol, field: str) -> Any:
    return reduce(getattr, field.split("."), protocol)


def _spelt(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
