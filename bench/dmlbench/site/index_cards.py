"""The cards of the index: what a table says, at a glance; and what that advises a newcomer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from dmlbench.errors import DataError
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.loss_grid import differing_by_sampler
from dmlbench.leaderboard.metric_names import display_name, points
from dmlbench.leaderboard.ranking import BEST
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.site.gallery import Picture, Retrieved
from dmlbench.site.sitemap import Contents
from dmlbench.site.sortable_tables import Cell, figure_cell
from dmlbench.site.thumbnail import Thumbnail, thumbnail

_PICTURES = 5
_NAMED = 4
"""Rows of a group that a card names."""

Link = tuple[str, str]
"""A text and the path of a page."""


@dataclass(frozen=True)
class Lane:
    """The trained rows of one backbone."""

    backbone: str
    """Empty if the table has only one."""
    metric: str
    figure: Cell
    """The highest mean; empty where that is no claim."""
    best: tuple[Link, ...]
    """Rows that can't be told from the best; the first of them."""
    more: int
    """How many others can't be told from it either."""
    rows: int
    remark: str
    """Why no row is called best."""
    gain: str
    """How far the highest mean is above the best floor."""


@dataclass(frozen=True)
class Card:
    """A table, or several that differ only in the sampler, led by the first."""

    table: Table
    path: str
    items: str
    lanes: tuple[Lane, ...]
    samplers: tuple[Link, ...]
    """The tables of other samplers."""
    pictures: tuple[Picture, ...]
    """Test images of different classes."""
    thumbnail: Thumbnail | None
    """The means as dots, where there are no pictures."""


def cards(site: Contents, pictures: Mapping[str, Sequence[Retrieved]]) -> list[Card]:
    """Return a card for each table, in the site's order: those that can rank losses come first.

    Args:
        site: the tables.
        pictures: what is retrieved on a table, by its id.
    """
    return [
        Card(
            table=table,
            path=site.table(table),
            items=_items(table),
            lanes=tuple(_lane(site, table, name, rows) for name, rows in table.lanes.items()),
            samplers=tuple((plain(one.protocol.sampler), site.table(one)) for one in others),
            pictures=_of_different_classes(pictures.get(table.id, ())),
            thumbnail=thumbnail(table),
        )
        for table, *others in differing_by_sampler(site.tables)
    ]


def _lane(site: Contents, table: Table, backbone: str, rows: Sequence[Row]) -> Lane:
    ranking, top = table.rankings.get(backbone), rows[0]
    metric = table.headline or ""
    best = [row for row in rows if ranking and ranking.group(row) == BEST]
    remark = ""
    if ranking and ranking.unfit:
        remark = "Cannot rank losses: none is shown to beat the best baseline."
    elif not best:
        remark = "No row is called better than another: too few seeds, or a single row."
    return Lane(
        backbone=backbone if len(table.lanes) > 1 else "",
        metric=display_name(metric) if metric else "",
        figure=figure_cell(top.metrics.get(metric), metric, table.metric_facts),
        best=tuple((row.label, site.method(row)) for row in best[:_NAMED]),
        more=max(0, len(best) - _NAMED),
        rows=len(rows),
        remark=remark,
        gain=_gain(table, top),
    )


def _gain(table: Table, top: Row) -> str:
    """Return how far the highest mean is above the floor that it beats by least."""
    leads = {floor: over for floor, over in table.over_floors(top).items() if over}
    if not leads:
        return ""
    floor = min(leads, key=lambda name: leads[name].mean)
    lead = leads[floor]
    width = "" if lead.half_width is None else f" ± {points(lead.half_width)}"
    where = "over" if lead.mean >= 0 else "below"
    return f"{points(abs(lead.mean))}{width} points {where} {floor}, the best floor"


def _items(table: Table) -> str:
    """Return how many items and classes there are to test on, and how many items to learn from."""
    counts = {
        name: {int(n) for row in table.trained or table.rows for n in row.numbers(name)}
        for name in ("test_items", "train_items")
    }
    tested, learnt = (
        "–".join(f"{n:,}" for n in dict.fromkeys((min(found), max(found)))) if found else ""
        for found in counts.values()
    )
    texts = []
    if tested:
        classes = _test_classes(table)
        texts.append(f"{tested} test items" + (f" of {classes:,} classes" if classes else ""))
    if learnt:
        texts.append(f"{learnt} to learn from")
    return "; ".join(texts)


def _test_classes(table: Table) -> int:
    """Return the number of classes among the test items; 0 if no record can tell."""
    for record in table.records:
        if array := record.per_query.get("class"):
            with suppress(DataError):
                return len(np.unique(array.unpack()))
    return 0


def _of_different_classes(found: Sequence[Retrieved]) -> tuple[Picture, ...]:
    first: dict[str, Picture] = {}
    for one in found:
        first.setdefault(one.query.class_name, one.query)
    return tuple(first.values())[:_PICTURES]


@dataclass(frozen=True)
class Advice:
    """What the tables that can rank losses say to somebody who has to choose one."""

    rows: tuple[Link, ...]
    """Those that can't be told from the best most often."""
    losses: tuple[str, ...]
    """Their losses, for a command."""
    times: int
    tables: int
    """How many tables rank losses."""
    unfit: tuple[Link, ...]
    """Tables in which no loss is shown to beat the baselines."""


def advice(site: Contents) -> Advice | None:
    """Return it from one table of each dataset and protocol; None if none ranks losses."""
    leaders = [tables[0] for tables in differing_by_sampler(site.tables)]
    ranking = [table for table in leaders if table.ranks_losses and not table.partial]
    decided = [
        (table, ranks)
        for table in ranking
        for ranks in table.rankings.values()
        if ranks.decided and not ranks.unfit
    ]
    found: dict[str, Row] = {}
    counts: Counter[str] = Counter()
    for table, ranks in decided:
        for row in table.trained:
            if ranks.group(row) == BEST:
                found.setdefault(row.label, row)
                counts[row.label] += 1
    if not counts:
        return None
    times = max(counts.values())
    often = [found[label] for label in sorted(counts) if counts[label] == times][:_NAMED]
    return Advice(
        rows=tuple((row.label, site.method(row)) for row in often),
        losses=tuple(dict.fromkeys(row.names["loss"] for row in often)),
        times=times,
        tables=len(decided),
        unfit=tuple(
            (table.title, site.table(table))
            for table in leaders
            if any(ranks.unfit for ranks in table.rankings.values())
        ),
    )
