"""The file of a protocol: its values, those of single datasets, and where each comes from.

Those that ship are in ``protocols/``; a path names one of your own. Beside the fields of a
`Protocol`, a file may hold::

    differs = ["There, all classes train."]

    [origins]                       # of a field or of a whole section
    optimiser = "code: train.py"
    "optimiser.lr" = "paper"

    [datasets.sop]                  # fields that this dataset has otherwise
    optimiser = { lr = 6e-4, step_epochs = 20 }
    origins = { "optimiser.lr" = "ours: twice the batch" }

Only the resolved values of its dataset become part of a trial.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from dmlbench.errors import ConfigError, nearest
from dmlbench.schemas.base import Schema, dotted, toml_values, validate
from dmlbench.schemas.origins import OURS, Origins, check_origins, covering
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.shipped_protocols import FOLDER, protocol_names

_COMPONENTS = ("backbone", "sampler")


class _Beside(Schema):
    """What a file may hold beside the fields of a protocol."""

    differs: tuple[str, ...] = ()
    origins: Origins = {}
    datasets: dict[str, dict[str, Any]] = {}


class _BesideADataset(Schema):
    origins: Origins = {}


@dataclass(frozen=True)
class DatasetTable:
    """What a protocol's file states of one dataset."""

    protocol: Protocol
    """The whole protocol, resolved."""
    stated: frozenset[str]
    """The fields that its table names."""
    origins: Mapping[str, str]


@dataclass(frozen=True)
class ProtocolFile:
    """A protocol as its file states it."""

    base: Protocol
    """For every dataset without a table of its own."""
    tables: Mapping[str, DatasetTable] = field(default_factory=dict)
    """By dataset."""
    origins: Mapping[str, str] = field(default_factory=dict)
    differs: tuple[str, ...] = ()
    """Sentences on what is not as in the source, and why."""

    def resolved(self, dataset: str | None = None) -> Protocol:
        """Return the protocol for a dataset, by its key among `tables`; for others, the base."""
        table = self.tables.get(dataset or "")
        return table.protocol if table else self.base

    def origin(self, key: str, dataset: str | None = None) -> str:
        """Return where the value of a field comes from: the most specific entry says it.

        For a field that the dataset's own table sets, that table's entries come first.
        """
        table = self.tables.get(dataset or "")
        found = [(False, len(name), False, text) for name, text in covering(key, self.origins)]
        if table:
            own = any(f"{name}.".startswith(f"{key}.") for name in table.stated)
            of_table = covering(key, table.origins)
            found += [(own, len(name), True, text) for name, text in of_table]
        return max(found)[-1] if found else OURS

    def differences(self, dataset: str) -> dict[str, Any]:
        """Return the fields in which a dataset differs from the base, with its values.

        None stands for a component's setting that only the base names.
        """
        usual, own = values_of(self.base), values_of(self.resolved(dataset))
        keys = dict.fromkeys([*own, *usual])
        return {key: own.get(key) for key in keys if own.get(key) != usual.get(key)}


def values_of(protocol: Protocol) -> dict[str, Any]:
    """Return all fields that decide something, by dotted name, those of components one by one.

    Left out are those that are not read beside the others (see `Protocol.unread`).

    Example:
        >>> from dmlbench import load_protocol
        >>> values_of(load_protocol("small"))["length.epochs"]
        8
    """
    values = dict(dotted(protocol.model_dump(exclude=set(protocol.decides_nothing))))
    unread = {key for key in Protocol.fields_and_sections() if protocol.unread(key)}
    return {key: value for key, value in values.items() if key not in unread}


def meaning(key: str) -> str:
    """Return what a field or a section is, by dotted name; of a component's setting, nothing.

    Example:
        >>> meaning("length.epochs")
        'how many; epoch 0 is the untrained network'
    """
    model: Any = Protocol
    text = ""
    for name in key.split("."):
        one = getattr(model, "model_fields", {}).get(name)
        model, text = (one.annotation, one.description or "") if one else (None, "")
    return text


def load_protocol(name: str | Path, *, dataset: str | None = None) -> Protocol:
    """Return a shipped protocol by name, or one of your own by the path of its TOML file.

    Args:
        name: of a protocol, or a path that ends in ``.toml``.
        dataset: which the protocol is for: ``cars``, ``dmlbench:cars`` or, as records name it,
            ``cars (partial=True)``. Datasets without a table in the file share its other values.

    Raises:
        ConfigError: no such protocol, or the file is not a valid one.

    Example:
        >>> import dmlbench
        >>> dmlbench.load_protocol("small").backbone
        'small-conv'
    """
    key = dataset and dataset.removeprefix("dmlbench:").partition(" (")[0]
    return read_protocol_file(name).resolved(key)


def read_protocol_file(name: str | Path) -> ProtocolFile:
    """Return all that the file of a protocol says; `name` is as for `load_protocol`.

    Raises:
        ConfigError: no such protocol, or the file is not a valid one.
    """
    name = str(name)
    if name.endswith(".toml"):
        path, name = Path(name), Path(name).stem
    elif name in protocol_names():
        path = Path(FOLDER, f"{name}.toml")
    else:
        raise ConfigError(
            f"There is no protocol named {name!r}."
            + nearest(name, protocol_names())
            + " One of your own is named by the path of its .toml file."
        )
    values = {"name": name} | toml_values(path)
    about = {key: values.pop(key) for key in _Beside.model_fields if key in values}
    base = _checked(values, None, str(path))
    beside = validate(_Beside, about, str(path), "protocol")
    check_origins(beside.origins, [base], str(path))
    tables = {
        dataset: _of_dataset(base, values, table, f"{path}: [datasets.{dataset}]")
        for dataset, table in beside.datasets.items()
    }
    return ProtocolFile(base, tables, beside.origins, beside.differs)


def _of_dataset(
    base: Protocol, usual: Mapping[str, Any], table: Mapping[str, Any], where: str
) -> DatasetTable:
    own = {key: value for key, value in table.items() if key not in _BesideADataset.model_fields}
    about = {key: value for key, value in table.items() if key not in own}
    origins = validate(_BesideADataset, about, where, "part of a protocol").origins
    if "name" in own:
        raise ConfigError(f"{where} gives a name: a protocol has one name for all datasets.")
    values = dict(usual)
    for kind in _COMPONENTS:
        if own.get(kind, values.get(kind)) != values.get(kind):
            values.pop(f"{kind}_settings", None)  # they were those of another component
    if own.keys() & {"frozen", "tuning"}:
        values = {key: value for key, value in values.items() if key not in ("frozen", "tuning")}
    stated = frozenset("tuning" if key == "frozen" else key for key, _ in dotted(own))
    protocol = _checked(_merged(values, own), stated, where)
    check_origins(origins, [base, protocol], where)
    return DatasetTable(protocol, stated, origins)


def _merged(usual: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(usual)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(values.get(key), dict)
        values[key] = _merged(values[key], value) if both else value
    return values


def _checked(values: dict[str, Any], stated: Iterable[str] | None, where: str) -> Protocol:
    """Return `values` as a protocol in which no field that is not read has an unusual value.

    Args:
        values: of all fields.
        stated: those that decide: what the others have, and is not read beside them, goes back to
            the usual value. None: all do.
        where: to name in errors.

    Raises:
        ConfigError: a value is wrong, or a field that `stated` names is not read.
    """
    protocol = validate(Protocol, values, where)
    left = values
    for key in Protocol.fields_and_sections():
        reason = protocol.unread(key)
        if not reason or protocol.value(key) == _usual(protocol, key):
            continue
        if stated is None or key in stated:
            raise ConfigError(f"{where}: {key} would change nothing: {reason}. Leave it out.")
        left = _without(left, key.split("."))
    return protocol if left is values else validate(Protocol, left, where)


def _usual(protocol: Protocol, key: str) -> Any:
    *tables, name = key.split(".")
    section = reduce(getattr, tables, protocol)
    return type(section).model_fields[name].get_default()


def _without(values: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    first, *rest = keys
    if not rest:
        return {key: value for key, value in values.items() if key != first}
    return {**values, first: _without(values[first], rest)}
