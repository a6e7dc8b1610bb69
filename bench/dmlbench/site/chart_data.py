"""The data of the site's charts as JSON, which the page's script passes to Observable Plot."""

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

from dmlbench.leaderboard.distance_curves import Curve, distance_curves
from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.metric_names import display_name
from dmlbench.leaderboard.rows import Row, numbers
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.record import Epoch
from dmlbench.statistics import Estimate, estimate

DRAWN = 5
"""Number of rows with curves until the reader chooses others."""

Point = tuple[float, float, float | None]
"""Position, mean, and half of the 95 % interval over seeds."""


def chart_data(table: Table, rows: Iterable[Row]) -> dict[str, Any]:
    """Return all that charts show of `rows`, which belong to `table`.

    Metrics are in percent, distances are mean cosine distances. A series without points has no
    curve.
    """
    metric = table.headline
    return {
        "metric": display_name(metric) if metric else "",
        "lanes": len(table.lanes),
        "floors": [
            {"label": floor.label, "value": _percent(floor.metrics[metric].mean)}
            for floor in table.floors
            if metric and metric in floor.metrics
        ],
        "series": [_series(table, row) for row in rows],
    }


def has_curves(row: Row) -> bool:
    """Return whether the row has enough epochs to draw curves."""
    return len(_by_epoch(row, lambda epoch: epoch.loss)) > 1 or bool(distance_curves(row))


def has_test_distances(row: Row) -> bool:
    """Return whether distances of test items were measured while its networks were trained."""
    return any(curve.split == "test" for curve in distance_curves(row))


def _series(table: Table, row: Row) -> dict[str, Any]:
    metric, lane = table.headline or "", row.names.get("backbone", "")
    ranking = table.ranking_of(row)
    return {
        "label": row.label,
        "kind": "baseline" if row.is_baseline else "trained",
        "lane": "baselines" if row.is_baseline else lane,
        "group": ranking.group(row) if ranking else "",
        "score": _point(row.metrics.get(metric)),
        "seconds": row.seconds and _short(row.seconds),
        "loss": _by_epoch(row, lambda epoch: epoch.loss),
        "validation": _by_epoch(row, lambda epoch: epoch.validation.get(metric), 100),
        "recall": [
            (int(name.removeprefix("recall@")), *_point(row.metrics[name]))
            for name in table.metrics
            if name.startswith("recall@") and name in row.metrics
        ],
        "distances": {curve.split: _distances(curve) for curve in distance_curves(row)},
    }


def _by_epoch(row: Row, read: Callable[[Epoch], float | None], scale: float = 1) -> list[Point]:
    """Return mean and interval over seeds of what `read` returns, by epoch."""
    found: dict[int, list[float]] = {}
    for record in row.finished:
        for epoch in record.epochs:
            for value in numbers([read(epoch)]):
                found.setdefault(epoch.epoch, []).append(scale * value)
    return [(epoch, *_spread(estimate(found[epoch]))) for epoch in sorted(found)]


def _distances(curve: Curve) -> dict[str, list[Any]]:
    return {
        "epochs": curve.epochs,
        "positive": [_short(value) for value in curve.positive],
        "negative": [_short(value) for value in curve.negative],
        "ratio": [_short(value) if isfinite(value) else None for value in curve.ratio],
    }


def _point(value: Estimate | None) -> list[float | None]:
    if value is None:
        return []
    width = None if value.half_width is None else _percent(value.half_width)
    return [_percent(value.mean), width]


def _spread(value: Estimate) -> tuple[float, float | None]:
    return _short(value.mean), None if value.half_width is None else _short(value.half_width)


def _percent(value: float) -> float:
    return round(100 * written(value), 4)


def _short(value: float) -> float:
    return float(f"{value:.5g}")
