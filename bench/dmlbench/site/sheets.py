"""What stands in the cells of the site's tables, and by what they are sorted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dmlbench.leaderboard.across import Across
from dmlbench.leaderboard.cells import NOTHING, Cells, below, ranking_cells, seeds
from dmlbench.leaderboard.comparison import BEST, Ranking
from dmlbench.leaderboard.details import details
from dmlbench.leaderboard.escaping import REASON_LENGTH, plain
from dmlbench.leaderboard.grid import Grid
from dmlbench.leaderboard.metrics import display_name, percent, shown
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.records import Record
from dmlbench.site.contents import Contents, Method
from dmlbench.statistics import Estimate

_NUMBER = re.compile(r"(-?[\d,]+(?:\.\d+)?)(?:x| %|–[\d,.]+| ± .*| \+ [\d,]+| of [\d,–]+)?")


@dataclass(frozen=True)
class Cell:
    """A cell: its text, perhaps a link, and the number that it is sorted by."""

    text: str = ""
    spread: str = ""
    """Half of the interval, shown smaller after the text."""
    number: float | None = None
    link: str = ""
    links: tuple[tuple[str, str, str], ...] = ()
    """In place of a text: text, path and what it is, of each."""
    mark: str = ""
    """What sets it apart: the class of its style."""


@dataclass(frozen=True)
class Column:
    """A heading; numbers stand on the right and are sorted from the greatest."""

    heading: str
    numeric: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table of the site; its first column names the lines."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[Cell, ...], ...]


def figure(value: Estimate | None) -> Cell:
    """Return mean and half of the interval as tables show them."""
    text, _, width = percent(value).partition(" ± ")
    return Cell(text, f"± {width}" if width else "", value.mean if value else None)


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
    metrics = {display_name(metric): metric for metric in table.metrics}
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
                line.append(figure(row.metrics.get(metrics[heading])))
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
    headings, lines = details(table)
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
    """Return losses by what they were combined with."""
    columns = (Column("Loss"), *(Column(plain(part), numeric=True) for part in grid.parts))
    lines = tuple(
        (Cell(loss), *(figure(grid.cells[loss, part]) for part in grid.parts))
        for loss in grid.losses
    )
    name = f"{display_name(metric)} by loss and {grid.kind}, in percent"
    return Sheet(f"by-{grid.kind}", name, columns, lines)


def tables_sheet(site: Contents) -> Sheet:
    """Return all tables, a line for each backbone."""
    lines = []
    for table in site.tables:
        failed = sum(len(row.failed) for row in table.rows)
        trials = f"{len(table.records)}" + (f", {failed} failed" if failed else "")
        partial = " · PARTIAL DATA" if table.partial else ""
        for backbone, rows in (table.lanes or {"": []}).items():
            ranking = table.rankings.get(backbone)
            unfit = "cannot rank losses: the best baseline is not beaten"
            top = rows[0] if ranking and not ranking.unfit else None
            value = top.metrics.get(table.headline or "") if top else None
            lines.append(
                (
                    Cell(plain(str(table.dataset)) + partial, link=site.table(table)),
                    Cell(plain(table.protocol.name)),
                    Cell(backbone),
                    Cell(top.label, link=site.method(top))
                    if top
                    else Cell(unfit if ranking else ""),
                    Cell(display_name(table.headline) if top and table.headline else ""),
                    figure(value) if top else Cell(),
                    Cell(str(len(rows)), number=len(rows)),
                    Cell(str(len(table.baselines)), number=len(table.baselines)),
                    Cell(trials, number=len(table.records)),
                    Cell(plain(table.fingerprint[:8])),
                )
            )
    columns = ("Dataset", "Protocol", "Backbone", "Highest mean", "Metric")
    counts = ("Mean", "Rows", "Baselines", "Trials")
    headed = [*(Column(name) for name in columns), *(Column(name, numeric=True) for name in counts)]
    return Sheet("tables", "Tables", (*headed, Column("Data")), tuple(lines))


def methods_sheet(site: Contents) -> Sheet:
    """Return the highest mean of each method's rows in each table."""
    lines = []
    for method in site.methods:
        best: dict[str, Cell] = {}
        for table, row in method.rows:
            cell = figure(row.metrics.get(table.headline or ""))
            known = best.get(table.id, Cell()).number
            if cell.number is not None and (known is None or cell.number > known):
                group = _ranking(table, row)
                mark = BEST if group and group.group(row) == BEST else ""
                best[table.id] = replace(cell, mark=mark)
        lines.append(
            (
                Cell(method.title, link=site.method_page(method)),
                Cell(method.kind),
                *(best.get(table.id, Cell()) for table in site.tables),
            )
        )
    columns = [Column("Method"), Column("Kind")]
    columns += [Column(table.title, numeric=True) for table in site.tables]
    return Sheet("methods", "Methods", tuple(columns), tuple(lines))


def ranks_sheet(found: Across) -> Sheet:
    """Return the rows that several datasets have in common, by mean rank."""
    ranks = found.ranks
    interval = "95 % interval" if ranks.resampled else "Least to greatest"
    columns = [Column("Row"), Column("Mean rank", numeric=True), Column(interval)]
    columns += [Column(table.title, numeric=True) for table in found.tables]
    lines = tuple(
        (
            Cell(label),
            Cell(f"{ranks.means[place]:.2f}", number=float(ranks.means[place])),
            Cell(f"{ranks.low[place]:.3g} to {ranks.high[place]:.3g}"),
            *(Cell(f"{rank:g}", number=float(rank)) for rank in ranks.ranks[:, place]),
        )
        for place, label in enumerate(found.labels)
    )
    return Sheet("ranks", "Ranks across datasets", tuple(columns), lines)


def method_sheet(site: Contents, method: Method) -> Sheet:
    """Return the rows of one method in all tables."""
    rows = method.rows
    kinds = [k for k in ("miner", "sampler", "backbone") if any(k in row.names for _, row in rows)]
    if len({row.names[method.kind] for _, row in rows}) > 1:  # of several settings
        kinds.insert(0, method.kind)
    metrics = shown(name for _, row in rows for name in row.metrics)
    metrics.sort(key=lambda metric: metric not in {table.headline for table, _ in rows})
    lines = tuple(
        (
            Cell(table.title, link=site.table(table)),
            *(Cell(row.names.get(kind, "")) for kind in kinds),
            *(figure(row.metrics.get(metric)) for metric in metrics),
            _group(_ranking(table, row), row),
            Cell(seeds(row)),
            trials(site, row.records),
            Cell(below(row)),
        )
        for table, row in rows
    )
    columns = [Column("Table"), *(Column(kind.capitalize()) for kind in kinds)]
    columns += [Column(display_name(metric), numeric=True) for metric in metrics]
    columns += [Column(name) for name in ("Group", "Seeds", "Trials", "Below")]
    return Sheet("rows", f"Rows of {method.title} in all tables", tuple(columns), lines)


def trials(site: Contents, records: Sequence[Record]) -> Cell:
    """Return links to the trials, by their seeds."""
    links = [
        (str(r.trial.seed), site.trial(r), f"{plain(str(r.trial), 100)}, {r.status}")
        for r in records
    ]
    return Cell(links=tuple(links))


def _ranking(table: Table, row: Row) -> Ranking | None:
    if row.is_baseline or not table.headline or not row.finished:
        return None
    return table.rankings.get(row.names.get("backbone", ""))


def _group(ranking: Ranking | None, row: Row) -> Cell:
    if ranking is None or not ranking.decided:
        return Cell()
    mark = ranking.mark(row)
    return Cell(mark, mark=BEST if mark == BEST else "")


def _measured(text: str) -> Cell:
    """Return `text` with the number that it begins with, if it is a number and little more."""
    found = _NUMBER.fullmatch(text)
    text = "" if text == NOTHING else text
    return Cell(text, number=float(found[1].replace(",", "")) if found else None)
