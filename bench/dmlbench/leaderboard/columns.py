"""Columns: what each format shows of a field of a row, stated beside the field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.base import Schema


@dataclass(frozen=True)
class Column:
    """How a field is read from a row, and what CSV files and the details of a page show of it.

    Stands in the field's ``Annotated[...]``; JSON has the field itself.
    """

    read: Callable[[Table, Row], Any] | None = None
    """Returns the field's value; None: it is the row's attribute of the same name."""
    csv: str | Callable[[Table, Row], Mapping[str, Any]] = ""
    """The column's name if it is not the field's, or a function that returns cells by name."""
    details: str | Callable[[Table, Row], Mapping[str, str]] = ""
    """The heading, or a function that returns texts by heading, the same headings for every row of
    a table. Without it the details leave the field out."""
    csv_after: str = ""
    """The field whose cells precede it in CSV files, if not the field above."""
    details_after: str = ""
    """The field whose texts precede it in the details, if not the field above."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What each heading means, for tooltips; one that ends in ``…`` stands for all that begin so.
    """


def values(fields: type[Schema], table: Table, row: Row) -> dict[str, Any]:
    """Return the value of each field."""
    return {name: _value(name, column, table, row) for name, column in _columns(fields).items()}


def csv_cells(fields: type[Schema], table: Table, row: Row) -> dict[str, Any]:
    """Return the cells of a row by column, lists joined by spaces and mappings flattened."""
    columns = _columns(fields)
    cells: dict[str, Any] = {}
    for name in _ordered({name: column.csv_after for name, column in columns.items()}):
        column = columns[name]
        if callable(column.csv):
            cells |= column.csv(table, row)
        else:
            cells |= _flat(column.csv or name, _value(name, column, table, row))
    return cells


def detail_texts(fields: type[Schema], table: Table, row: Row) -> dict[tuple[str, str], str]:
    """Return the texts of a row by field and heading."""
    columns = _columns(fields)
    texts: dict[tuple[str, str], str] = {}
    for name in _ordered({name: column.details_after for name, column in columns.items()}):
        details = columns[name].details
        if callable(details):
            texts |= {(name, heading): text for heading, text in details(table, row).items()}
        elif details:
            value = _value(name, columns[name], table, row)
            texts[name, details] = "" if value is None else str(value)
    return texts


def heading_text(fields: type[Schema], heading: str) -> str:
    """Return what a heading means; empty if no column says it."""
    texts = {name: text for one in _columns(fields).values() for name, text in one.about.items()}
    begun = (t for n, t in texts.items() if n.endswith("…") and heading.startswith(n[:-1]))
    return texts.get(heading) or next(begun, "")


@cache
def _columns(fields: type[Schema]) -> dict[str, Column]:
    """Return the column of each field; one without is read, flattened and left out of details."""
    return {
        name: next((mark for mark in info.metadata if isinstance(mark, Column)), Column())
        for name, info in fields.model_fields.items()
    }


def _ordered(after: Mapping[str, str]) -> list[str]:
    names = list(after)
    for name, anchor in after.items():
        if anchor:
            names.remove(name)
            names.insert(names.index(anchor) + 1, name)
    return names


def _value(name: str, column: Column, table: Table, row: Row) -> Any:
    return column.read(table, row) if column.read else getattr(row, name)


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        inner = (_flat(f"{name}_{key}", one) for key, one in value.items())
        return {key: cell for cells in inner for key, cell in cells.items()}
    return {name: " ".join(map(str, value)) if isinstance(value, list) else value}
