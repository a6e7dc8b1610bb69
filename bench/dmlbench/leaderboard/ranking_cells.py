"""The cells of a ranking as plain texts, for every format."""

from collections.abc import Sequence
from dataclasses import dataclass

from dmlbench.leaderboard.metric_names import display_name, figure, main_metrics
from dmlbench.leaderboard.ranking import AGAINST_BEST, Ranking
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table

NOTHING = "–"
BELOW = "Below"
"""Heading of the floors that a row is below."""


@dataclass(frozen=True)
class Cells:
    """Headings and lines of the same length."""

    headings: list[str]
    lines: list[list[str]]
    numeric: range
    """The columns of figures."""


def ranking_cells(table: Table, rows: Sequence[Row], ranking: Ranking | None = None) -> Cells:
    """Return names, metrics, group, seeds and lost floors of `rows`; texts are not escaped."""
    kinds = [kind for kind in ("baseline", "loss", "miner") if any(kind in r.names for r in rows)]
    for kind in ("sampler", "backbone"):  # if all rows share them, the details say so
        if len({row.names.get(kind) for row in rows}) > 1:
            kinds.append(kind)
    facts = table.metric_facts
    names = [{kind.capitalize(): row.names.get(kind, NOTHING) for kind in kinds} for row in rows]
    if len({row.pretrained_on for row in rows}) > 1:
        for row, name in zip(rows, names, strict=True):
            name["Pre-trained on"] = row.pretrained_on or NOTHING
    headings = list(names[0]) if names else []
    numeric = range(len(headings), len(headings) + len(table.metrics))
    headings += [display_name(metric, facts) for metric in table.metrics]
    grouped = ranking is not None and ranking.decided
    lines = [
        [
            *name.values(),
            *(figure(metric, row.metrics.get(metric), facts) for metric in table.metrics),
            *([ranking.mark(row)] if grouped and ranking else []),
            seeds(row),
            below(row),
        ]
        for row, name in zip(rows, names, strict=True)
    ]
    group = ["Group"] if grouped else []
    return Cells([*headings, *group, "Seeds", BELOW], lines, numeric)


def main_columns(table: Table, rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return what narrow tables show of `rows` by heading; texts are not escaped.

    The row's label, the main metrics, how it compares with the best, the floors it is below, and
    the seeds unless they are the same for all rows of `table`.
    """
    facts = table.metric_facts
    columns = {"Row": [row.label for row in rows]}
    for metric in main_metrics(table.metrics):
        figures = [figure(metric, row.metrics.get(metric), facts) for row in rows]
        columns[display_name(metric, facts)] = figures
    rankings = [table.ranking_of(row) for row in rows]
    if any(ranking and ranking.decided for ranking in rankings):
        columns[AGAINST_BEST] = [
            ranking.words(row) if ranking and ranking.decided else ""
            for row, ranking in zip(rows, rankings, strict=True)
        ]
    if any(row.below for row in rows):
        columns[BELOW] = [below_briefly(table, row) for row in rows]
    if same_seeds(table) is None:
        columns["Seeds"] = [seeds(row) for row in rows]
    return columns


def same_seeds(table: Table) -> int | None:
    """Return how many seeds every row has; None if rows differ, or some failed or collapsed."""
    found = {seeds(row) for row in table.rows}
    return len(table.rows[0].finished) if found == {str(len(table.rows[0].finished))} else None


def seeds(row: Row) -> str:
    """Return how many seeds finished, and which failed or collapsed: ``2 of 3 (failed: 1)``."""
    remarks = [
        f"{word}: {', '.join(str(record.trial.seed) for record in records)}"
        for word, records in (("failed", row.failed), ("collapsed", row.collapsed))
        if records
    ]
    total = f" of {len(row.records)}" if row.failed else ""
    return f"{len(row.finished)}{total}" + (f" ({'; '.join(remarks)})" if remarks else "")


def below_briefly(table: Table, row: Row) -> str:
    """Return the floors that the row is below; on what is said where it isn't the headline."""
    name = display_name(table.headline or "")
    return ", ".join(
        floor if name in metrics else f"{floor} ({', '.join(metrics)})"
        for floor, metrics in row.below.items()
    )


def below(row: Row) -> str:
    """Return the floors that the row is below, and on what: ``pixels (MAP@R)``."""
    return ", ".join(f"{floor} ({', '.join(metrics)})" for floor, metrics in row.below.items())
