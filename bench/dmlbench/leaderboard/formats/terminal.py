"""The tables at the end of a run, in the terminal."""

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from rich import box
from rich.console import Console, JustifyMethod, OverflowMethod
from rich.table import Table as Grid
from rich.text import Text

from dmlbench.counted import counted
from dmlbench.leaderboard.metric_names import display_name, main_metrics
from dmlbench.leaderboard.ranking_cells import BELOW, main_columns
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table, make_tables
from dmlbench.schemas.record import Record

WIDTH = 100
"""Of sentences at most, and of everything where nobody says how wide the output is."""
_WHOLE, _CUT, _NARROWEST = 40, 32, 16
"""Floors are counted, not named, before labels are cut below the first; columns are left out before
they are cut below the second; and below the third, they never are."""
_BETWEEN = 3
"""Characters from one column to the next."""
_IN_ASCII = {"±": "+/-", "–": "-", "·": "-", "…": "..."}
_FOOTNOTE = (
    "Mean ± half of the 95 % interval over seeds (Student-t), in percent; one seed has no "
    "interval. The order of the means is no claim. Below: what a trained network must beat and did "
    "not, by the first metric or by those in brackets."
)


def print_tables(records: Iterable[Record], console: Console | None = None) -> None:
    """Print the tables of `records`, as wide as the console; plain text without a terminal."""
    console = console or default_console()
    width = min(console.width, WIDTH)
    records = list(records)
    if not records:
        console.print("There are no records, so there is no table.")
        return
    for table in make_tables(records):
        grid, left_out = _grid(table, console)
        console.print(grid, width=console.width)
        texts = [left_out] if left_out else []
        for name, ranking in table.rankings.items():
            of = f"[{name}] " if len(table.rankings) > 1 else ""
            texts += [of + sentence for sentence in ranking.sentences()]
        for text in (*texts, *table.notes):
            console.print(readable(text, console.encoding), width=width)
    console.print(readable(_FOOTNOTE, console.encoding), width=width)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - called while it is handled; rich's own ends the program silently


def default_console() -> Console:
    """Return the terminal; if output is redirected, a console of ``COLUMNS`` or 100 columns."""
    console = _Console()
    told = os.environ.get("COLUMNS", "").isdigit()
    return console if console.is_terminal or told else _Console(width=WIDTH)


def _grid(table: Table, console: Console) -> tuple[Grid, str]:
    """Return the rows of a table, and what is left out for lack of width, in a sentence."""
    groups = [(name, rows, "") for name, rows in table.lanes.items()]
    groups += [("baselines", table.baselines, "dim"), ("failed", table.failed, "red")]
    groups = [(name, rows, style) for name, rows, style in groups if rows]
    every = [row for _, rows, _ in groups for row in rows]
    columns, left_out = _fitting(table, every, console)
    grid = Grid(
        title=readable(table.title, console.encoding),
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    figures = [display_name(metric, table.metric_facts) for metric in main_metrics(table.metrics)]
    widths = _widths(columns)
    room = console.width - sum(widths.values()) - _BETWEEN * len(columns) + widths["Row"]
    cut: OverflowMethod = "ellipsis" if "utf" in console.encoding.lower() else "crop"
    grid.add_column("Row", overflow=cut, no_wrap=True, max_width=max(room, _NARROWEST))
    for heading in list(columns)[1:]:
        justify: JustifyMethod = "right" if heading in figures else "left"
        grid.add_column(heading, justify=justify, min_width=widths[heading])
    lines = zip(*columns.values(), strict=True)
    for name, rows, style in groups:
        if len(table.lanes) > 1:
            grid.add_row(readable(f"[{name}]", console.encoding), style=style)
        for line in islice(lines, len(rows)):
            grid.add_row(*map(Text, line), style=style)
        grid.add_section()
    return grid, left_out


def _fitting(
    table: Table, rows: Sequence[Row], console: Console
) -> tuple[dict[str, list[str]], str]:
    """Return the columns that fit, in characters of the console, and a sentence on the others."""
    width = console.width
    columns = {
        heading: [readable(text, console.encoding).plain for text in texts]
        for heading, texts in main_columns(table, rows).items()
    }
    others = [display_name(m, table.metric_facts) for m in main_metrics(table.metrics)[1:]]
    if "Seeds" in columns:
        columns["Seeds"] = [_seeds(row) for row in rows]
    left_out = []
    if BELOW in columns and not _fit(columns, width, _WHOLE):
        columns[BELOW] = [counted(len(row.below), "floor") if row.below else "" for row in rows]
        left_out.append("which floors")
    for heading in (*reversed(others), BELOW):
        if heading in columns and not _fit(columns, width, _CUT):
            del columns[heading]
            left_out = [*(left_out[1:] if heading == BELOW else left_out), heading]
    told = ", ".join(left_out)
    return columns, f"Left out at this width: {told}. The pages have it." if told else ""


def _fit(columns: Mapping[str, Sequence[str]], width: int, label_width: int) -> bool:
    widths = _widths(columns)
    widths["Row"] = min(widths["Row"], label_width)
    return sum(widths.values()) + _BETWEEN * len(widths) <= width


def _widths(columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    return {heading: max(map(len, (heading, *texts))) for heading, texts in columns.items()}


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
