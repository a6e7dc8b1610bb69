"""The tables at the end of a run, in the terminal."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from dmlbench.leaderboard.metric_names import display_name, percent
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table, make_tables
from dmlbench.schemas.record import Record

WIDTH = 100
_IN_ASCII = {"±": "+/-", "–": "-", "·": "-", "…": "..."}
_FOOTNOTE = (
    "Mean ± half of the 95 % interval over seeds (Student-t), in percent; the order of the "
    "means is no claim. Below: what a trained network must beat and did not."
)


def print_tables(records: Iterable[Record], console: Console | None = None) -> None:
    """Print the tables of `records`, no wider than 100 columns; plain text without a terminal."""
    console = console or default_console()
    width = min(console.width, WIDTH)
    records = list(records)
    if not records:
        console.print("There are no records, so there is no table.")
        return
    for table in make_tables(records):
        console.print(_grid(table, console.encoding), width=width)
        for name, ranking in table.rankings.items():
            for sentence in ranking.sentences():
                of = f"[{name}] " if len(table.rankings) > 1 else ""
                console.print(readable(of + sentence, console.encoding), width=width)
        for note in table.notes:
            console.print(readable(note, console.encoding), width=width)
    console.print(readable(_FOOTNOTE, console.encoding), width=width)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - called while it is handled; rich's own ends the program silently


def default_console() -> Console:
    """Return the terminal; if output is redirected, a console of 100 columns."""
    console = _Console()
    return console if console.is_terminal else _Console(width=WIDTH)


def _grid(table: Table, encoding: str) -> Grid:
    metrics = [metric for metric in table.metrics if metric in ("recall@1", table.headline)]
    grid = Grid(
        title=readable(table.title, encoding),
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    unicode = "utf" in encoding.lower()
    grid.add_column("Row", overflow="ellipsis" if unicode else "crop", no_wrap=True, min_width=16)
    for metric in metrics:
        figures = [readable(percent(row.metrics.get(metric)), encoding) for row in table.rows]
        width = max(map(len, figures))
        grid.add_column(display_name(metric), justify="right", no_wrap=True, min_width=width)
    rankings = table.rankings
    grouped = any(ranking.decided for ranking in rankings.values())
    if grouped:
        grid.add_column("Group", min_width=5, no_wrap=True)
    grid.add_column("Below", min_width=9)
    grid.add_column("Seeds", min_width=9)

    def add(title: str, rows: Iterable[Row], style: str = "") -> None:
        ranking = rankings.get(title) if not style else None
        if len(table.lanes) > 1:
            grid.add_row(readable(f"[{title}]", encoding), style=style)
        for row in rows:
            figures = [percent(row.metrics.get(metric)) for metric in metrics]
            group = [ranking.mark(row) if ranking else ""] if grouped else []
            texts = [row.label, *figures, *group, ", ".join(row.below), _seeds(row)]
            grid.add_row(*(readable(text, encoding) for text in texts), style=style)
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


def readable(text: str, encoding: str) -> Text:
    """Return `text` without markup, in characters that the terminal can show."""
    if "utf" not in encoding.lower():
        for character, spelt in _IN_ASCII.items():
            text = text.replace(character, spelt)
        text = text.encode(encoding, "replace").decode(encoding)
    return Text(text)
