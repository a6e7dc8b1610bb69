"""The cells of the site's tables, and the numbers they are sorted by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, plain
from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.loss_grid import Grid
from dmlbench.leaderboard.metric_names import Facts, display_name, figure
from dmlbench.leaderboard.ranking import BEST, Ranking
from dmlbench.leaderboard.ranking_cells import NOTHING, Cells, ranking_cells
from dmlbench.leaderboard.row_details import row_details
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.record import Record
from dmlbench.site.sitemap import Contents
from dmlbench.statistics import Estimate

_NUMBER = re.compile(r"(-?[\d,]+(?:\.\d+)?)(?:x| %|–[\d,.]+| ± .*| \+ [\d,]+| of [\d,–]+)?")


@dataclass(frozen=True)
class Cell:
    """A cell: its text, an optional link, and the number that it is sorted by."""

    text: str = ""
    spread: str = ""
    """Half of the interval, shown smaller after the text."""
    number: float | None = None
    link: str = ""
    links: tuple[tuple[str, str, str], ...] = ()
    """In place of a text: text, path and description of each link."""
    mark: str = ""
    """CSS class that highlights it."""


@dataclass(frozen=True)
class Column:
    """A heading; numbers are right-aligned and sorted in descending order."""

    heading: str
    numeric: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table of the site; its first column names the lines."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[Cell, ...], ...]


def figure_cell(value: Estimate | None, metric: str, facts: Facts = MappingProxyType({})) -> Cell:
    """Return mean and half of the interval as tables show them."""
    text, _, width = figure(metric, value, facts).partition(" ± ")
    return Cell(text, f"± {width}" if width else "", written(value.mean) if value else None)


def ranking_sheet(
    site: Contents,
    name: str,
    caption: str,
    table: Table,
    rows: Sequence[Row],
    ranking: Ranking | None = None,
) -> Sheet:
    """Return the rows of one lane, or the baselines, with their figures.

    The cells are those of every other format. Here the metric that rows are ordered by and the
    group come first among the figures, and links to the trials are added.
    """
    cells = ranking_cells(table, rows, ranking)
    metrics = {display_name(metric, table.metric_facts): metric for metric in table.metrics}
    names, others = cells.numeric.start, range(cells.numeric.start, len(cells.headings))
    first = [
        p for p in others if cells.headings[p] in (display_name(table.headline or ""), "Group")
    ]
    places = [*range(names), *first, *(place for place in others if place not in first)]
    lines = []
    for row, texts in zip(rows, cells.lines, strict=True):
        line = []
        for place in places:
            heading, text = cells.headings[place], texts[place]
            if heading in metrics:
                metric = metrics[heading]
                line.append(figure_cell(row.metrics.get(metric), metric, table.metric_facts))
            elif heading == "Group":
                line.append(Cell(text, mark=BEST if text == BEST else ""))
            else:
                line.append(Cell("" if text == NOTHING else text))
        line[0] = Cell(line[0].text, link=site.method(row))
        lines.append((*line, trials(site, row.records)))
    columns = [Column(cells.headings[p], p in cells.numeric) for p in places] + [Column("Trials")]
    return Sheet(name, caption, tuple(columns), tuple(lines))


def details_sheet(site: Contents, table: Table) -> Sheet:
    """Return how each finished row was made."""
    headings, lines = row_details(table)
    rows = [row for row in table.rows if row.finished]
    cells = [[_measured(text) for text in line] for line in lines]
    for line, row in zip(cells, rows, strict=True):
        line[0] = Cell(line[0].text, link=site.method(row))
    columns = tuple(
        Column(heading, any(each) and all(c.number is not None for c in each if c.text))
        for heading, each in zip(headings, zip(*cells, strict=True), strict=True)
    )
    return Sheet("made", "How each row was made", columns, tuple(map(tuple, cells)))


def failures_sheet(site: Contents, table: Table) -> Sheet:
    """Return the failed trials with their reasons."""
    lines = tuple(
        (
            Cell(row.label, link=site.trial(record)),
            Cell(str(record.trial.seed), number=record.trial.seed),
            Cell(plain(record.reason, REASON_LENGTH) or "no reason given"),
        )
        for row in table.rows
        for record in row.failed
    )
    columns = (Column("Row"), Column("Seed", numeric=True), Column("Reason"))
    return Sheet("failed", "Failed trials", columns, lines)


def reported_sheet(cells: Cells) -> Sheet:
    """Return what papers report beside what was reproduced."""
    columns = [Column(name, place in cells.numeric) for place, name in enumerate(cells.headings)]
    lines = [tuple(map(_measured, line)) for line in cells.lines]
    return Sheet("reported", "Reported and reproduced", tuple(columns), tuple(lines))


def grid_sheet(grid: Grid, metric: str) -> Sheet:
    """Return losses by the part that they were combined with."""
    columns = (Column("Loss"), *(Column(plain(part), numeric=True) for part in grid.parts))
    lines = tuple(
        (Cell(loss), *(figure_cell(grid.cells[loss, part], metric) for part in grid.parts))
        for loss in grid.losses
    )
    name = f"{display_name(metric)} by loss and {grid.kind}, in percent"
    return Sheet(f"by-{grid.kind}", name, columns, lines)


def trials(site: Contents, records: Sequence[Record]) -> Cell:
    """Return links to the trials, by their seeds."""
    links = [
        (str(r.trial.seed), site.trial(r), f"{plain(str(r.trial), 100)}, {r.status}")
        for r in records
    ]
    return Cell(links=tuple(links))


def group_cell(ranking: Ranking | None, row: Row) -> Cell:
    """Return what a row is called in its ranking."""
    if ranking is None or not ranking.decided:
        return Cell()
    mark = ranking.mark(row)
    return Cell(mark, mark=BEST if mark == BEST else "")


def _measured(text: str) -> Cell:
    """Return `text` with the number it begins with, if it holds little else."""
    found = _NUMBER.fullmatch(text)
    text = "" if text == NOTHING else text
    return Cell(text, number=float(found[1].replace(",", "")) if found else None)
