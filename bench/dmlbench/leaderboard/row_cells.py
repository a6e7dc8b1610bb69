"""Cells of CSV files and texts of the details, where they are not simply a field's value."""

from collections.abc import Iterable, Mapping
from typing import Any

from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.metric_names import display_name, percent, points
from dmlbench.leaderboard.reported import reported, reported_rows
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.trial import ROW_KINDS
from dmlbench.statistics import Estimate

COUNTED = ("parameters", "loss_parameters", "train_items", "fit_items")
"""Details of records that are counts."""


def estimate_cells(name: str, value: Estimate | None) -> dict[str, float | None]:
    """Return a mean and its half-width, empty if there is none."""
    return {
        name: value.mean if value else None,
        f"{name}_half_width": value.half_width if value else None,
    }


def metric_cells(estimates: Mapping[str, Estimate], prefix: str = "") -> dict[str, float | None]:
    """Return means and half-widths."""
    cells: dict[str, float | None] = {}
    for name, value in estimates.items():
        cells |= estimate_cells(f"{prefix}{name}", value)
    return cells


def part_cells(table: Table, row: Row) -> dict[str, str | None]:
    """Return the name of each part."""
    return {kind: row.names.get(kind) for kind in ROW_KINDS}


def new_classes_cells(table: Table, row: Row) -> dict[str, Any]:
    """Return how the row stands in a claim about new classes, where its lane has figures."""
    found = table.new_classes_of(row)
    if not found or found.absent:
        return {}
    behind = found.behind.get(row.id)
    return {
        "test_class_half_width": found.half_widths.get(row.id),
        "group_new_classes": found.groups.get(row.id),
        "behind_best_new_classes_half_width": behind.half_width if behind else None,
    }


def over_floors_cells(table: Table, row: Row) -> dict[str, float | None]:
    """Return the row's lead over each floor of the table."""
    cells: dict[str, float | None] = {}
    for floor, over in table.over_floors(row).items():
        cells |= estimate_cells(f"over_{floor}", over)
    return cells


def epoch_cells(table: Table, row: Row) -> dict[str, Any]:
    """Return the epochs that count, seed by seed, and the last one."""
    return {
        "selected_epochs": " ".join(map(str, row.selected_epochs)),
        "last_epoch": None if row.is_baseline else table.protocol.length.epochs,
    }


def count_cells(table: Table, row: Row) -> dict[str, str | float | None]:
    """Return each count: the value that all seeds share, or the values seed by seed."""
    cells: dict[str, str | float | None] = {}
    for name in COUNTED:
        found = row.numbers(name)
        cells[name] = " ".join(map(str, found)) if len(set(found)) > 1 else next(iter(found), None)
    return cells


def paper_cells(table: Table, row: Row) -> dict[str, Any]:
    """Return what a paper reports of the row, as fractions."""
    entry = reported_rows(table).get(row.id)
    if not entry:
        return {}
    figures = {f"reported_{name}": value for name, value in entry.fractions.items()}
    return figures | {"reported_in": str(reported().sources[entry.source])}


def identity_cells(table: Table, row: Row) -> dict[str, Any]:
    """Return what identifies the row's table, and the row's id."""
    return {
        "dataset": plain(str(table.dataset)),
        "partial_data": table.partial,
        "fingerprint": plain(table.fingerprint, 100),
        "protocol": plain(table.protocol.name),
        "row_id": row.id,
    }


def part_texts(table: Table, row: Row) -> dict[str, str]:
    """Return the parts that the row's label may leave out."""
    return {kind.capitalize(): row.names.get(kind, "") for kind in ("sampler", "backbone")}


def epoch_texts(table: Table, row: Row) -> dict[str, str]:
    """Return the epochs that count, of how many: ``6–8 of 8``.

    Beside them is at how many seeds no epoch beat the untrained network on held-out classes.
    """
    text = f"{_span(row.selected_epochs)} of {table.protocol.length.epochs}"
    beats = [record.details.get("beats_epoch_0") for record in row.finished]
    if False in beats:
        seeds = f" at {beats.count(False)} of {len(beats)} seeds" if len(beats) > 1 else ""
        text += f", none better than untrained{seeds}"
    return {"Epoch that counts": "" if row.is_baseline else text}


def headline_texts(table: Table, row: Row) -> dict[str, str]:
    """Return the metric that rows are ordered by."""
    metrics = [table.headline] if table.headline else []
    return {f"Its {display_name(metric)}": percent(row.metrics.get(metric)) for metric in metrics}


def last_epoch_texts(table: Table, row: Row) -> dict[str, str]:
    """Return Recall@1 and the metric that rows are ordered by, both of the last epoch."""
    return {
        f"Last epoch: {display_name(metric)}": percent(row.last_epoch_metrics.get(metric))
        for metric in table.metrics
        if metric in ("recall@1", table.headline)
    }


def over_floors_texts(table: Table, row: Row) -> dict[str, str]:
    """Return the row's lead over each floor of the table."""
    leads = table.over_floors(row).items()
    return {f"Over {floor}": percent(over) if over else "" for floor, over in leads}


def count_texts(table: Table, row: Row) -> dict[str, str]:
    """Return tied queries, the weights of network and loss, and the items learnt from.

    ``3,000 of 30,596`` are the items if they were limited.
    """
    tied = row.metrics.get("tied")
    weights = [row.numbers(detail) for detail in ("parameters", "loss_parameters")]
    train = row.numbers("train_items")
    fitted = row.numbers("fit_items") or train
    items = _span(fitted) + (f" of {_span(train)}" if fitted != train and train else "")
    return {
        "Tied queries": f"{points(tied.mean)} %" if tied else "",
        "Parameters": " + ".join(_span(count) for count in weights if any(count)),
        "Learnt from": "nothing" if fitted and not any(fitted) else items,
    }


def plugin_texts(table: Table, row: Row) -> dict[str, str]:
    """Return the columns that plugins add to the table."""
    headings = dict.fromkeys(heading for other in table.rows for heading in other.extra)
    return {heading: row.extra.get(heading, "") for heading in headings}


def _span(counts: Iterable[float]) -> str:
    """Return the count that all seeds share, or the least and the greatest."""
    known = sorted(set(counts))
    return "–".join(f"{count:,.0f}" for count in dict.fromkeys([*known[:1], *known[-1:]]))
