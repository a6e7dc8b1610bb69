"""The cells of a ranking as plain texts, for every format."""

from collections.abc import Sequence
from dataclasses import dataclass

from dmlbench.leaderboard.metric_names import display_name, figure
from dmlbench.leaderboard.ranking import Ranking
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table

NOTHING = "–"


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
    return Cells([*headings, *group, "Seeds", "Below"], lines, numeric)


def seeds(row: Row) -> str:
    """Return how many seeds finished, and which failed or collapsed: ``2 of 3 (failed: 1)``."""
    remarks = [
        f"{word}: {', '.join(str(record.trial.seed) for record in records)}"
        for word, records in (("failed", row.failed), ("collapsed", row.collapsed))
        if records
    ]
    total = f" of {len(row.records)}" if row.failed else ""
    return f"{len(row.finished)}{total}" + (f" ({'; '.join(remarks)})" if remarks else "")


def below(row: Row) -> str:
    """Return the floors that the row is below, and on what: ``pixels (MAP@R)``."""
    return ", ".join(f"{floor} ({', '.join(metrics)})" for floor, metrics in row.below.items())
