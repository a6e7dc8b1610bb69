"""The page of a table: its rows, pictures of them, and how they were made."""

from collections.abc import Callable, Sequence
from typing import Any

from dmlbench.leaderboard.commands import table_command
from dmlbench.leaderboard.formats.csv import to_csv
from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, plain
from dmlbench.leaderboard.formats.json import to_json
from dmlbench.leaderboard.formats.latex import to_latex
from dmlbench.leaderboard.loss_grid import by_miner, by_sampler
from dmlbench.leaderboard.protocol_facts import protocol_facts, provenance
from dmlbench.leaderboard.ranking import BEST
from dmlbench.leaderboard.reported import reported_cells
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.record import Record
from dmlbench.site.chart_data import DRAWN, chart_data, has_curves, has_test_distances
from dmlbench.site.embedding_map import neighbour_map
from dmlbench.site.gallery import Retrieved
from dmlbench.site.kept_embeddings import Embedded
from dmlbench.site.sitemap import Contents
from dmlbench.site.sortable_tables import (
    details_sheet,
    failures_sheet,
    grid_sheet,
    ranking_sheet,
    reported_sheet,
)
from dmlbench.site.templating import render

DOWNLOADS: dict[str, tuple[str, Callable[[Table], str]]] = {
    ".csv": ("CSV", to_csv),
    ".json": ("JSON", to_json),
    ".tex": ("LaTeX", to_latex),
}
"""Name and renderer of each download, by suffix."""


def table_page(
    site: Contents,
    table: Table,
    samplers: Sequence[Table],
    shown: tuple[Row, Record, Embedded] | None,
    retrieved: Sequence[Retrieved],
    missing: str,
) -> str:
    """Return the page of `table`.

    Args:
        site: where the other pages are.
        table: the rows.
        samplers: the table and those that differ from it only in the sampler.
        shown: the row whose retrieval is shown, one of its records and its embeddings.
        retrieved: what it retrieves, if the items are images.
        missing: why nothing is shown.
    """
    lanes = [_lane(site, table, f"trained-{place}", name) for place, name in enumerate(table.lanes)]
    baselines = table.baselines
    beside = reported_cells(table)
    grids = [grid for grid in (by_miner(table), by_sampler(samplers)) if grid]
    return render(
        "table.html",
        site.table(table),
        title=table.title,
        table=table,
        description=plain(table.protocol.description, REASON_LENGTH),
        downloads=[(name, site.table(table, end)) for end, (name, _) in DOWNLOADS.items()],
        facts=protocol_facts(table),
        provenance=provenance(table),
        lanes=lanes,
        baselines=ranking_sheet(site, "baselines", "Baselines", table, baselines)
        if baselines
        else None,
        reported=reported_sheet(beside[0]) if beside else None,
        sources=beside[1] if beside else [],
        grids=[(grid, grid_sheet(grid, table.headline or "")) for grid in grids],
        samplers=[(plain(t.protocol.sampler), site.table(t)) for t in samplers],
        details=details_sheet(site, table) if table.trained or baselines else None,
        failures=failures_sheet(site, table) if any(row.failed for row in table.rows) else None,
        command=table_command(table),
        charts=chart_data(table, [*table.trained, *baselines]),
        drawn=DRAWN,
        timed=any(row.seconds for row in table.rows),
        validated=any(e.validation for r in table.records for e in r.epochs),
        curves=any(map(has_curves, table.trained)),
        distances=any(map(has_test_distances, table.trained)),
        recall=any(metric.startswith("recall@") for metric in table.metrics),
        shown=shown,
        shown_path=site.trial(shown[1]) if shown else "",
        missing=missing,
        gallery=retrieved,
        map=neighbour_map(shown[2]) if shown else None,
    )


def _lane(site: Contents, table: Table, name: str, backbone: str) -> dict[str, Any]:
    """Return the rows of one backbone, and sentences on what their order means."""
    ranking, others = table.rankings.get(backbone), table.new_classes.get(backbone)
    told = ranking if ranking and not ranking.unfit else None
    caption = f"Trained networks, {backbone}"
    sentences = ranking.sentences() if ranking else []
    return {
        "backbone": backbone,
        "sheet": ranking_sheet(site, name, caption, table, table.lanes[backbone], told),
        "ranking": ranking,
        "best": list(ranking.groups.values()).count(BEST) if ranking else 0,
        "sentences": sentences + (others.sentences(ranking) if ranking and others else []),
    }
