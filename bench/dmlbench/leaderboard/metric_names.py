"""The metrics of a table: their order, their names, and how their means are written."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite

from dmlbench.retrieval.metrics import find_metric, in_order, rank_in
from dmlbench.statistics import Estimate, estimate

_WELL_FORMED = re.compile(r"[a-z][a-z0-9_@.-]{0,39}")


def average(figures: Iterable[Mapping[str, float]]) -> dict[str, Estimate]:
    """Return the mean and interval of each metric over `figures`, one mapping a seed.

    Metrics with names that no metric has are left out: records may come from anybody.
    """
    by_name: dict[str, list[float]] = {}
    for one in figures:
        for name, value in one.items():
            if _WELL_FORMED.fullmatch(name):
                by_name.setdefault(name, []).append(value)
    return {name: estimate(by_name[name]) for name in in_order(by_name)}


def shown(names: Iterable[str]) -> list[str]:
    """Return those of the metrics that tables show, in their order: Recall@k, then the rest."""
    known = ((name, find_metric(name)) for name in set(names))
    return in_order(name for name, metric in known if metric and not metric.is_diagnostic)


def headline(names: Iterable[str]) -> str | None:
    """Return the metric that rows are ordered by, or None if there is none."""
    order = (name for name in in_order(set(names)) if (m := find_metric(name)) and m.orders_rows)
    return next(order, None)


def floors_count(name: str) -> bool:
    """Return whether a row that loses to a floor on this metric is marked."""
    metric = find_metric(name)
    return metric is not None and metric.floors_count


def is_diagnostic(name: str) -> bool:
    """Return whether a metric judges the figures, not the model, such as the share of ties."""
    metric = find_metric(name)
    return metric is not None and metric.is_diagnostic


def display_name(name: str) -> str:
    """Return what tables call a metric."""
    metric, rank = find_metric(name), rank_in(name)
    if metric is None:
        return name
    return f"{metric.title}@{rank}" if rank else metric.title


def percent(value: Estimate | None) -> str:
    """Return ``64.21 ± 0.35``: mean and half of the interval in percent, ``–`` for none."""
    if value is None or not isfinite(value.mean):
        return "–"
    width = "–" if value.half_width is None else f"{100 * value.half_width:.2f}"
    return f"{100 * value.mean:.2f} ± {width}"
