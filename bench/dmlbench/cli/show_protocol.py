"""``dmlbench show protocol``: each field with its value, what it means and where it comes from."""

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dmlbench.schemas.protocol_file import ProtocolFile

_WIDEST = 160
"""Columns, on wider terminals too: longer lines are hard to follow."""

_NARROW = 115
"""With fewer columns, four of them are too thin to read."""

_Line = tuple[str, str, str, str]
"""Field, value, meaning and origin."""


def show_protocol(name: str, dataset: str | None) -> None:
    """Print a protocol, for one dataset or for those without a table in its file.

    Raises:
        ConfigError: no such protocol or dataset.
    """
    from rich.console import Console

    from dmlbench.schemas.protocol_file import read_protocol_file

    file = read_protocol_file(name)
    key = _key(file, dataset) if dataset else None
    protocol, console = file.resolved(key), Console(highlight=False)
    width = console.width = min(console.width, _WIDEST)

    def say(text: str, mark: str = "") -> None:
        lines = wrap(text, width, initial_indent=mark, subsequent_indent=" " * len(mark))
        click.echo("\n".join(lines))

    say(f"protocol {protocol.name}" + (f" for {dataset}" if dataset else ""))
    say(protocol.description)
    say(f"Source: {protocol.source}")
    with console.capture() as captured:
        console.print(_grid(_lines(file, key), width))
    click.echo("\n" + "\n".join(line.rstrip() for line in captured.get().splitlines()))
    if file.differs:
        click.echo("\nNot as in the source:")
    for sentence in file.differs:
        say(sentence, "- ")
    if dataset and key is None:
        click.echo(f"\nThe file has no other values for {dataset}.")
    if not dataset and file.tables:
        click.echo("\nOther values for single datasets (--dataset NAME):")
        for key in file.tables:
            values = file.differences(key).items()
            changes = ", ".join(f"{field} = {value_text(value)}" for field, value in values)
            say(f"{key}: {changes or 'none'}", "- ")


def value_text(value: Any) -> str:
    """Return a value as a reader would write it: ``1e-05``, ``true``, ``pixels, pca``."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _key(file: "ProtocolFile", dataset: str) -> str | None:
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.planning.dataset_tables import dataset_key

    if dataset in file.tables:
        return dataset
    catalogue = Catalogue.discover()
    catalogue.find("dataset", dataset)
    return dataset_key(catalogue, dataset, file)


def _lines(file: "ProtocolFile", dataset: str | None) -> Iterator[_Line]:
    """Yield a line for each field that is read, with one above those of a section."""
    from dmlbench.schemas.protocol_file import meaning, values_of

    section = ""
    for key, value in values_of(file.resolved(dataset)).items():
        above, _, name = key.rpartition(".")
        if above not in ("", section):
            yield above, "", meaning(above), ""
        section = above
        indent = "  " if above else ""
        yield indent + name, value_text(value), meaning(key), file.origin(key, dataset)


def _grid(lines: Iterable[_Line], width: int) -> "RenderableType":
    """Return a table; on a narrow terminal, the origin stands behind the meaning."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column("field", no_wrap=True)
    if narrow := width < _NARROW:
        grid.add_column("value", max_width=18, overflow="fold")
        grid.add_column("meaning [from]")
    else:
        grid.add_column("value", max_width=24, overflow="fold")
        grid.add_column("meaning", max_width=72)
        grid.add_column("from", max_width=28)
    for field, value, meaning, origin in lines:
        both = " ".join(filter(None, (meaning, origin and f"[{origin}]")))
        cells = (field, value, both) if narrow else (field, value, meaning, origin)
        grid.add_row(*(Text(cell) for cell in cells))
    return grid
