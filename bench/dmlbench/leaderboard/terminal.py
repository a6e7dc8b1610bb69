"""The tables at the end of a run, in the terminal."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from dmlbench.leaderboard.metrics import display_name, percent
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table, make_tables
from dmlbench.records import Record

WIDTH = 100
_FOOTNOTE = (
    "Mean {sign} half of the 95 % interval over seeds (Student-t), in percent; the order of the "
    "means is no claim. Below: what a trained network must beat and did not."
)


def print_tables(records: Iterable[Record], console: Console | None = None) -> None:
    """Print the tables of `records`, no wider than 100 columns; plain text without a terminal."""
    console = console or _console()
    width = min(console.width, WIDTH)
    tables = make_tables(records)
    if not tables:
        console.print("There are no records, so there is no table.")
        return
    sign = "±" if "utf" in console.encoding.lower() else "+/-"
    for table in tables:
        console.print(_grid(table, sign), width=width)
        for note in table.notes:
            console.print(Text(note), width=width)
    console.print(Text(_FOOTNOTE.format(sign=sign)), width=width)


def _console() -> Console:
    """Return the terminal; where output goes elsewhere, 100 columns whatever that may be."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _grid(table: Table, sign: str) -> Grid:
    metrics = [metric for metric in ("recall@1", table.headline) if metric in table.metrics]
    grid = Grid(
        title=Text(table.title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    grid.add_column("Row", overflow="ellipsis", no_wrap=True, min_width=16)
    for metric in metrics:
        figures = [percent(row.metrics.get(metric or ""), sign=sign) for row in table.rows]
        name, width = display_name(metric or ""), max(map(len, figures))
        grid.add_column(name, justify="right", no_wrap=True, min_width=width)
    grid.add_column("Below", min_width=9)
    grid.add_column("Seeds", min_width=9)

    def add(title: str, rows: Iterable[Row], style: str = "") -> None:
        if len(table.lanes) > 1:
            grid.add_row(Text(f"[{title}]"), style=style)
        for row in rows:
            figures = [percent(row.metrics.get(m or ""), sign=sign, none="-") for m in metrics]
            texts = [row.label, *figures, ", ".join(row.below), _seeds(row)]
            grid.add_row(*map(Text, texts), style=style)
        grid.add_section()

    for backbone, rows in table.lanes.items():
        add(backbone, rows)
    if table.baselines:
        add("baselines", table.baselines, style="dim")
    if table.failed:
        add("failed", table.failed, style="red")
    return grid


def _seeds(row: Row) -> str:
    """Return how many seeds finished, and how many of them collapsed: ``2 of 3, 1 collapsed``."""
    total = f" of {len(row.records)}" if row.failed else ""
    collapsed = f", {len(row.collapsed)} collapsed" if row.collapsed else ""
    return f"{len(row.finished)}{total}{collapsed}"
