"""The index: all tables, and all methods in them."""

from dataclasses import replace

from dmlbench.leaderboard.across_datasets import Across, across
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.metric_names import display_name
from dmlbench.leaderboard.ranking import BEST
from dmlbench.site.sitemap import INDEX, Contents
from dmlbench.site.sortable_tables import Cell, Column, Sheet, figure_cell
from dmlbench.site.templating import render


def index_page(site: Contents) -> str:
    """Return the index of the site."""
    found = across(site.tables)
    return render(
        "index.html",
        INDEX,
        title="Leaderboards",
        tables=_tables(site),
        methods=_methods(site),
        across=found,
        ranks=_ranks(found) if found else None,
        trials=sum(len(table.records) for table in site.tables),
    )


def _tables(site: Contents) -> Sheet:
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
                    figure_cell(value, table.headline or "") if top else Cell(),
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


def _methods(site: Contents) -> Sheet:
    """Return the highest mean of each method's rows in each table."""
    lines = []
    for method in site.methods:
        best: dict[str, Cell] = {}
        for table, row in method.rows:
            cell = figure_cell(row.metrics.get(table.headline or ""), table.headline or "")
            known = best.get(table.id, Cell()).number
            if cell.number is not None and (known is None or cell.number > known):
                ranking = table.ranking_of(row)
                mark = BEST if ranking and ranking.group(row) == BEST else ""
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


def _ranks(found: Across) -> Sheet:
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
