"""The cells of the site's tables, and the numbers they are sorted by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import getdoc
from types import MappingProxyType

from dmlbench.leaderboard.columns import heading_text
from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, plain
from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.loss_grid import Grid
from dmlbench.leaderboard.metric_names import Facts, display_name, figure
from dmlbench.leaderboard.ranking import AGAINST_BEST, BEST, Ranking
from dmlbench.leaderboard.ranking_cells import NOTHING, Cells, ranking_cells
from dmlbench.leaderboard.row_details import row_details
from dmlbench.leaderboard.row_document import RowDocument
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.retrieval.metrics import find_metric, rank_in
from dmlbench.schemas.record import Record
from dmlbench.site.sitemap import Contents
from dmlbench.statistics import Estimate

_GROUP = "Group"
"""Heading of the column that other formats have in place of `AGAINST_BEST`."""

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
    about: str = ""
    """What it means, for a tooltip and the list below the table."""


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
    group follow the first two names, so that a narrow screen shows them, and links to the trials
    are added.
    """
    cells = ranking_cells(table, rows, ranking)
    metrics = {display_name(metric, table.metric_facts): metric for metric in table.metrics}
    first = [
        *range(min(2, cells.numeric.start)),
        *(
            place
            for place, heading in enumerate(cells.headings)
            if heading in (display_name(table.headline or ""), _GROUP)
        ),
    ]
    places = [*first, *(place for place in range(len(cells.headings)) if place not in first)]
    lines = []
    for row, texts in zip(rows, cells.lines, strict=True):
        line = []
        for place in places:
            heading, text = cells.headings[place], texts[place]
            if heading in metrics:
                metric = metrics[heading]
                line.append(figure_cell(row.metrics.get(metric), metric, table.metric_facts))
            elif heading == _GROUP:
                line.append(group_cell(ranking, row))
            else:
                line.append(Cell("" if text == NOTHING else text))
        line[0] = Cell(line[0].text, link=site.method(row))
        lines.append((*line, trials(site, row.records)))
    columns = [
        metric_column(metrics[heading], table.metric_facts)
        if heading in metrics
        else named_column(AGAINST_BEST if heading == _GROUP else heading)
        for heading in (cells.headings[place] for place in places)
    ]
    return Sheet(name, caption, (*columns, TRIALS), tuple(lines))


def named_column(heading: str, numeric: bool = False) -> Column:
    """Return a column with what the row's field says of the heading."""
    return Column(heading, numeric, heading_text(RowDocument, heading))


def metric_column(metric: str, facts: Facts = MappingProxyType({})) -> Column:
    """Return the column of a metric, with what its class says of it."""
    return Column(display_name(metric, facts), numeric=True, about=_metric_text(metric))


def _metric_text(name: str) -> str:
    metric, rank = find_metric(name), rank_in(name)
    if metric is None:
        return "A metric of a plugin; its package says what it measures."
    text = (getdoc(metric) or "").partition("\n")[0].replace("`k`", str(rank))
    return f"{text} Mean over queries and seeds, in percent."


def details_sheet(site: Contents, table: Table) -> Sheet:
    """Return how each finished row was made; its figure stands first, for narrow screens."""
    headings, lines = row_details(table)
    places = sorted(range(len(headings)), key=lambda p: (p > 0, not headings[p].startswith("Its ")))
    headings = [headings[place] for place in places]
    lines = [[line[place] for place in places] for line in lines]
    rows = [row for row in table.rows if row.finished]
    cells = [[_measured(text) for text in line] for line in lines]
    for line, row in zip(cells, rows, strict=True):
        line[0] = Cell(line[0].text, link=site.method(row))
    columns = tuple(
        named_column(heading, any(each) and all(c.number is not None for c in each if c.text))
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
    columns = (
        named_column("Row"),
        Column("Seed", numeric=True, about="Number that the trial's randomness starts from."),
        Column("Reason", about="What the trial said when it failed."),
    )
    return Sheet("failed", "Failed trials", columns, lines)


def reported_sheet(cells: Cells) -> Sheet:
    """Return what papers report beside what was reproduced."""
    columns = [
        Column(name, place in cells.numeric, _reported_text(name))
        for place, name in enumerate(cells.headings)
    ]
    lines = [tuple(map(_measured, line)) for line in cells.lines]
    return Sheet("reported", "Reported and reproduced", tuple(columns), tuple(lines))


def _reported_text(heading: str) -> str:
    if heading.endswith("reported"):
        return "As the source has it, in percent."
    if heading.endswith("reproduced"):
        return "Mean over seeds here, in percent."
    if heading == "Source":
        return "Number of the source in the list below the table."
    return heading_text(RowDocument, heading)


def grid_sheet(grid: Grid, metric: str) -> Sheet:
    """Return losses by the part that they were combined with."""
    columns = (
        named_column("Loss"),
        *(
            Column(
                plain(part), numeric=True, about=f"{display_name(metric)} with this {grid.kind}."
            )
            for part in grid.parts
        ),
    )
    lines = tuple(
        (Cell(loss), *(figure_cell(grid.cells[loss, part], metric) for part in grid.parts))
        for loss in grid.losses
    )
    name = f"{display_name(metric)} by loss and {grid.kind}, in percent"
    return Sheet(f"by-{grid.kind}", name, columns, lines)


TRIALS = Column("Trials", about="A page for each trial, by its seed.")


def trials(site: Contents, records: Sequence[Record]) -> Cell:
    """Return links to the trials, by their seeds."""
    links = [
        (str(r.trial.seed), site.trial(r), f"{plain(str(r.trial), 100)}, {r.status}")
        for r in records
    ]
    return Cell(links=tuple(links))


def group_cell(ranking: Ranking | None, row: Row) -> Cell:
    """Return how a row compares with the best of its ranking, in words."""
    if ranking is None or not ranking.decided:
        return Cell()
    mark = BEST if ranking.group(row) == BEST else ""
    return Cell(ranking.words(row), mark=mark)


def _measured(text: str) -> Cell:
    """Return `text` with the number it begins with, if it holds little else."""
    found = _NUMBER.fullmatch(text)
    text = "" if text == NOTHING else text
    return Cell(text, number=float(found[1].replace(",", "")) if found else None)
