"""A table's figures at full precision, for spreadsheets and scripts."""

import csv
import io
from collections.abc import Mapping
from math import isfinite
from typing import Any

from dmlbench.leaderboard.commands import row_command
from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, csv_cell, plain
from dmlbench.leaderboard.reported import reported, reported_rows
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.trial import ROW_KINDS
from dmlbench.statistics import Estimate


def to_csv(table: Table) -> str:
    """Return one line a row: names, seeds, means and half-widths as fractions, ids, the command.

    No text in it can be taken for a formula. What a row lacks is empty.
    """
    lines = [_line(table, row) for row in table.rows]
    columns = dict.fromkeys(name for line in lines for name in line)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([_cell(line.get(name)) for name in columns] for line in lines)
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return None
    return csv_cell(value) if isinstance(value, str) else value


def _line(table: Table, row: Row) -> dict[str, Any]:
    trial = row.trial
    kind = "baseline" if row.is_baseline else "trained"
    reasons = dict.fromkeys(plain(record.reason, REASON_LENGTH) for record in row.failed)
    return {
        "row": row.label,
        "kind": kind if row.finished else "failed",
        **{kind: row.names.get(kind) for kind in ROW_KINDS},
        "embedding_dim": trial.protocol.embedding_dim,
        "hyperparameters": row.hyperparameters,
        "reducer": row.text("reducer") or None,
        "own_lr": row.text("own_lr"),
        "from": row.origin,
        "seeds_finished": _seeds(row.finished),
        "seeds_failed": _seeds(row.failed),
        "seeds_collapsed": _seeds(row.collapsed),
        **_estimates(row.metrics, ""),
        **_estimates(row.last_epoch_metrics, "last_epoch_"),
        **_standing(table, row),
        "below": "; ".join(f"{floor}: {', '.join(lost)}" for floor, lost in row.below.items()),
        "selected_epochs": " ".join(map(str, row.selected_epochs)),
        "last_epoch": None if row.is_baseline else trial.protocol.length.epochs,
        "seconds": row.seconds,
        "parameters": _one(row.numbers("parameters")),
        "loss_parameters": _one(row.numbers("loss_parameters")),
        "train_items": _one(row.numbers("train_items")),
        "fit_items": _one(row.numbers("fit_items")),
        **{f"plugin: {heading}": text for heading, text in row.extra.items()},
        "reason": "; ".join(reasons) or None,
        **_reported(table, row),
        "dataset": plain(str(trial.dataset)),
        "partial_data": table.partial,
        "fingerprint": plain(trial.fingerprint, 100),
        "protocol": plain(trial.protocol.name),
        "row_id": row.id,
        "trial_ids": " ".join(record.id for record in row.records),
        "command": row_command(row),
    }


def _standing(table: Table, row: Row) -> dict[str, str | float | None]:
    """Return the row's group, how far it is behind the best mean, and its lead over the floors."""
    ranking = None if row.is_baseline else table.rankings.get(row.names.get("backbone", ""))
    group = ranking.group(row) if ranking else None
    behind = ranking.behind.get(row.id) if ranking else None
    cells: dict[str, str | float | None] = {"group": group or None}
    cells |= _difference("behind_best", behind)
    others = table.new_classes.get(row.names.get("backbone", "")) if ranking else None
    if others and not others.absent:
        cells["test_class_half_width"] = others.half_widths.get(row.id)
        cells["group_new_classes"] = others.groups.get(row.id)
        wider = others.behind.get(row.id)
        cells["behind_best_new_classes_half_width"] = wider.half_width if wider else None
    for floor, over in table.over_floors(row).items():
        cells |= _difference(f"over_{floor}", over)
    return cells


def _reported(table: Table, row: Row) -> dict[str, str | float]:
    """Return what a paper reports of the row, as fractions."""
    entry = reported_rows(table).get(row.id)
    if not entry:
        return {}
    figures = {f"reported_{name}": value for name, value in entry.fractions.items()}
    return {**figures, "reported_in": str(reported().sources[entry.source])}


def _difference(name: str, value: Estimate | None) -> dict[str, str | float | None]:
    return {
        name: value.mean if value else None,
        f"{name}_half_width": value.half_width if value else None,
    }


def _estimates(metrics: Mapping[str, Estimate], prefix: str) -> dict[str, float | None]:
    cells: dict[str, float | None] = {}
    for name, value in metrics.items():
        cells[f"{prefix}{name}"] = value.mean
        cells[f"{prefix}{name}_half_width"] = value.half_width
    return cells


def _seeds(records: tuple[Any, ...]) -> str:
    return " ".join(str(record.trial.seed) for record in records)


def _one(values: list[float]) -> str | float | None:
    """Return the value that all seeds share, or the values seed by seed."""
    if len(set(values)) > 1:
        return " ".join(map(str, values))
    return values[0] if values else None
