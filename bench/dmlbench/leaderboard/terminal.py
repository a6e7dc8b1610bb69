"""The tables at the end of a run, in the terminal."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from dmlbench.leaderboard.markdown import below, seeds
from dmlbench.leaderboard.metrics import display_name, percent
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table, make_tables
from dmlbench.records import Record

WIDTH = 100
_FOOTNOTE = (
    "Mean {sign} half of the 95 % interval over seeds (Student-t), in percent. "
    "The order of the means is no claim."
)


def print_tables(records: Iterable[Record], console: Console | None = None) -> None:
    """Print the tables of `records`, no wider than 100 columns; plain text without a terminal."""
    console = console or Console()
    tables = make_tables(records)
    if not tables:
        console.print("There are no records, so there is no table.")
        return
    sign = "±" if "utf" in console.encoding.lower() else "+/-"
    for table in tables:
        console.print(_grid(table, console, sign), width=min(console.width, WIDTH))
        for note in table.notes:
            console.print(Text(note), width=min(console.width, WIDTH))
    console.print(_FOOTNOTE.format(sign=sign), highlight=False)


def _grid(table: Table, console: Console, sign: str) -> Grid:
    metrics = [metric for metric in ("recall@1", table.headline) if metric in table.metrics]
    grid = Grid(
        title=Text(table.title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD if console.is_terminal else box.ASCII2,
        pad_edge=False,
    )
    grid.add_column("Row", overflow="ellipsis", no_wrap=True, min_width=16)
    for metric in metrics:
        grid.add_column(display_name(metric or ""), justify="right", no_wrap=True)
    grid.add_column("Below", overflow="fold")
    grid.add_column("Seeds", overflow="fold")

    def add(rows: Iterable[Row], style: str = "") -> None:
        for row in rows:
            figures = [percent(row.metrics.get(m or ""), sign=sign, none="-") for m in metrics]
            texts = [row.label, *figures, below(row), seeds(row)]
            grid.add_row(*map(Text, texts), style=style)
        grid.add_section()

    for rows in table.lanes.values():
        add(rows)
    add(table.baselines, style="dim")
    add(table.failed, style="red")
    return grid
