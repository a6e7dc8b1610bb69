"""The page of a method: a loss or a baseline with its rows in all tables."""

from dmlbench.leaderboard.commands import row_command
from dmlbench.leaderboard.escaping import plain
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.site.charts import chart_data, has_curves
from dmlbench.site.contents import Contents, Method
from dmlbench.site.pages import page
from dmlbench.site.sheets import method_sheet


def method_page(site: Contents, method: Method) -> str:
    """Return the page of `method`."""
    by_table: dict[str, tuple[Table, list[Row]]] = {}
    for table, row in method.rows:
        by_table.setdefault(table.id, (table, []))[1].append(row)
    drawn = [
        {
            "table": table,
            "path": site.table(table),
            "charts": chart_data(table, [row for row in rows if row.finished]),
            "curves": any(map(has_curves, rows)),
            "validated": any(e.validation for row in rows for r in row.records for e in r.epochs),
            "recall": any(metric.startswith("recall@") for row in rows for metric in row.metrics),
        }
        for table, rows in by_table.values()
        if any(row.finished for row in rows)
    ]
    commands = [(table.title, row.label, row_command(row)) for table, row in method.rows]
    return page(
        "method.html",
        site.method_page(method),
        title=method.title,
        method=method,
        distribution=plain(method.distribution) or "an import reference",
        rows=method_sheet(site, method),
        drawn=drawn,
        commands=commands,
    )
