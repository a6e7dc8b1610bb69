"""The metrics of a table: their order, their names, and how their means are written."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite

from dmlbench.statistics import Estimate, estimate

_NAMES = {
    "r_precision": "R-Precision",
    "map_at_r": "MAP@R",
    "knn_accuracy": "5-NN accuracy",
}
_RANKED_BY = ("map_at_r", "knn_accuracy")
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
    return {name: estimate(by_name[name]) for name in sorted(by_name, key=_order)}


def shown(names: Iterable[str]) -> list[str]:
    """Return those of the metrics that tables show, in their order: Recall@k, then the rest."""
    return sorted((n for n in set(names) if n in _NAMES or _recall_rank(n)), key=_order)


def headline(names: Iterable[str]) -> str | None:
    """Return the metric that rows are ordered by, or None if there is none."""
    present = set(names)
    return next((name for name in _RANKED_BY if name in present), None)


def display_name(metric: str) -> str:
    """Return what tables call a metric."""
    rank = _recall_rank(metric)
    return f"Recall@{rank}" if rank else _NAMES.get(metric, metric)


def percent(value: Estimate | None) -> str:
    """Return ``64.21 ± 0.35``: mean and half of the interval in percent, ``–`` for none."""
    if value is None or not isfinite(value.mean):
        return "–"
    width = "–" if value.half_width is None else f"{100 * value.half_width:.2f}"
    return f"{100 * value.mean:.2f} ± {width}"


def _recall_rank(metric: str) -> int:
    found = re.fullmatch(r"recall@([1-9][0-9]{0,5})", metric)
    return int(found[1]) if found else 0


def _order(metric: str) -> tuple[bool, int, int, str]:
    rank = _recall_rank(metric)
    place = list(_NAMES).index(metric) if metric in _NAMES else len(_NAMES)
    return (rank == 0, rank, place, metric)
