"""The page of a method: a loss or a baseline with its rows in all tables."""

from dmlbench.leaderboard.commands import row_command
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.metric_names import facts_in, shown
from dmlbench.leaderboard.ranking import AGAINST_BEST
from dmlbench.leaderboard.ranking_cells import below, seeds
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.site.chart_data import chart_data, has_curves, has_test_distances
from dmlbench.site.method_text import ReadTexts
from dmlbench.site.sitemap import Contents, Method
from dmlbench.site.sortable_tables import (
    TRIALS,
    Cell,
    Column,
    Sheet,
    figure_cell,
    group_cell,
    metric_column,
    named_column,
    trials,
)
from dmlbench.site.templating import render


def method_page(site: Contents, method: Method, texts: ReadTexts) -> str:
    """Return the page of `method`, with what `texts` tells of it."""
    part = method.rows[0][1].trial.parts.get(method.kind)
    by_table: dict[str, tuple[Table, list[Row]]] = {}
    for table, row in method.rows:
        by_table.setdefault(table.id, (table, []))[1].append(row)
    drawn = [
        {
            "table": table,
            "path": site.table(table),
            "charts": chart_data(table, [row for row in rows if row.finished]),
            "curves": any(map(has_curves, rows)),
            "distances": any(map(has_test_distances, rows)),
            "validated": any(e.validation for row in rows for r in row.records for e in r.epochs),
            "recall": any(metric.startswith("recall@") for row in rows for metric in row.metrics),
        }
        for table, rows in by_table.values()
        if any(row.finished for row in rows)
    ]
    commands = [(table.title, row.label, row_command(row)) for table, row in method.rows]
    return render(
        "method.html",
        site.method_page(method),
        title=method.title,
        method=method,
        distribution=plain(method.distribution) or "an import reference",
        texts=texts(method.kind, part) if part else (),
        rows=_rows(site, method),
        drawn=drawn,
        commands=commands,
    )


def _rows(site: Contents, method: Method) -> Sheet:
    """Return the rows of one method in all tables."""
    rows = method.rows
    kinds = [k for k in ("miner", "sampler", "backbone") if any(k in row.names for _, row in rows)]
    if len({row.names[method.kind] for _, row in rows}) > 1:  # of several settings
        kinds.insert(0, method.kind)
    facts = facts_in(record for _, row in rows for record in row.records)
    metrics = shown((name for _, row in rows for name in row.metrics), facts)
    first = [metric for metric in metrics if metric in {table.headline for table, _ in rows}]
    others = [metric for metric in metrics if metric not in first]
    lines = tuple(
        (
            Cell(table.title, link=site.table(table)),
            *(figure_cell(row.metrics.get(metric), metric, facts) for metric in first),
            group_cell(table.ranking_of(row), row),
            *(Cell(row.names.get(kind, "")) for kind in kinds),
            *(figure_cell(row.metrics.get(metric), metric, facts) for metric in others),
            Cell(seeds(row)),
            trials(site, row.records),
            Cell(below(row)),
        )
        for table, row in rows
    )
    columns = (
        Column("Table", about="Dataset and protocol."),
        *(metric_column(metric, facts) for metric in first),
        named_column(AGAINST_BEST),
        *(named_column(kind.capitalize()) for kind in kinds),
        *(metric_column(metric, facts) for metric in others),
        named_column("Seeds"),
        TRIALS,
        named_column("Below"),
    )
    return Sheet("rows", f"Rows of {method.title} in all tables", columns, lines)
