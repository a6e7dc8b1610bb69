"""The index: all tables, and all methods in them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dmlbench.leaderboard.across_datasets import Across, across
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.metric_names import display_name
from dmlbench.leaderboard.ranking import BEST
from dmlbench.site.citation import bibtex
from dmlbench.site.gallery import Retrieved
from dmlbench.site.index_cards import advice, cards
from dmlbench.site.sitemap import INDEX, Contents
from dmlbench.site.sortable_tables import Cell, Column, Sheet, figure_cell
from dmlbench.site.templating import render


def index_page(site: Contents, pictures: Mapping[str, Sequence[Retrieved]]) -> str:
    """Return the index of the site, with pictures of the tables by their ids."""
    found = across(site.tables)
    return render(
        "index.html",
        INDEX,
        title="Leaderboards",
        cards=cards(site, pictures),
        advice=advice(site),
        citation=bibtex(),
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
                    figure_cell(value, table.headline or "") if top else Cell(),
                    Cell(display_name(table.headline) if top and table.headline else ""),
                    Cell(plain(table.protocol.name)),
                    Cell(top.label, link=site.method(top))
                    if top
                    else Cell(unfit if ranking else ""),
                    Cell(backbone),
                    Cell(str(len(rows)), number=len(rows)),
                    Cell(str(len(table.baselines)), number=len(table.baselines)),
                    Cell(trials, number=len(table.records)),
                    Cell(plain(table.fingerprint[:8])),
                )
            )
    columns = (
        Column("Dataset", about="What is learnt and tested on, with its settings."),
        Column("Mean", numeric=True, about="Highest mean of a trained row over seeds, in percent."),
        Column("Metric", about="What the rows are ordered by."),
        Column("Protocol", about="How every row of the table is trained and tested."),
        Column("Highest mean", about="The row with it; others may be as good, as the table says."),
        Column("Backbone", about="The network: rows of different ones are not ranked together."),
        Column("Rows", numeric=True, about="Trained rows that finished."),
        Column("Baselines", numeric=True, about="Rows in which no network is trained by a loss."),
        Column("Trials", numeric=True, about="Records, one a seed of each row."),
        Column("Data", about="First digits of the fingerprint of the data."),
    )
    return Sheet("tables", "Tables", columns, tuple(lines))


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
    columns = [
        Column("Method", about="The loss, or the baseline."),
        Column("Kind", about="A loss trains a network; a baseline does not."),
        *(
            Column(table.title, numeric=True, about=f"Highest mean of its rows there: {metric}.")
            for table in site.tables
            for metric in [display_name(table.headline) if table.headline else "none"]
        ),
    ]
    return Sheet("methods", "Methods", tuple(columns), tuple(lines))


def _ranks(found: Across) -> Sheet:
    """Return the rows that several datasets have in common, by mean rank."""
    ranks = found.ranks
    interval = "95 % interval" if ranks.resampled else "Least to greatest"
    columns = [
        Column("Row", about="Loss and miner."),
        Column("Mean rank", numeric=True, about="Over the datasets; 1 is the highest mean."),
        Column(interval, about="Of the mean rank."),
        *(Column(t.title, numeric=True, about="Rank on this dataset.") for t in found.tables),
    ]
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
