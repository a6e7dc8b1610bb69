"""The metrics of a table: their order, their names, and how their means are written."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite

from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.retrieval.metrics import find_metric, in_order, rank_in
from dmlbench.schemas.record import MetricFacts, Record
from dmlbench.statistics import Estimate, estimate

Facts = Mapping[str, MetricFacts]
_NONE: Facts = {}
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


def facts_in(records: Iterable[Record]) -> dict[str, MetricFacts]:
    """Return what records say of metrics that are not ours, by key; of several, the last."""
    return {key: facts for record in records for key, facts in record.metric_facts.items()}


def shown(names: Iterable[str], facts: Facts = _NONE) -> list[str]:
    """Return the metrics that tables show, in their order: Recall@k, then the rest."""
    known = ((name, find_metric(name)) for name in set(names))
    return in_order(
        name for name, metric in known if (not metric.is_diagnostic if metric else name in facts)
    )


def headline(names: Iterable[str]) -> str | None:
    """Return the metric that rows are ordered by, or None if there is none."""
    order = (name for name in in_order(set(names)) if (m := find_metric(name)) and m.orders_rows)
    return next(order, None)


def main_metrics(names: Iterable[str]) -> list[str]:
    """Return those of the metrics `names` of a table that narrow tables show, the headline first.

    Recall beyond the first place and R-Precision say much the same as Recall@1 and MAP@R, and are
    left out beside these; metrics that somebody asked for stay.
    """
    names = list(names)
    first = headline(names)
    beside = "recall@1" in names and first is not None
    kept = [name for name in names if not (beside and _tells_little_more(name)) or name == first]
    return sorted(kept, key=lambda name: name != first)


def _tells_little_more(name: str) -> bool:
    return name == "r_precision" or (name.startswith("recall@") and name != "recall@1")


def floors_count(name: str) -> bool:
    """Return whether a row that loses to a floor on this metric is marked."""
    metric = find_metric(name)
    return metric is not None and metric.floors_count


def is_diagnostic(name: str) -> bool:
    """Return whether a metric judges the figures, not the model, such as the share of ties."""
    metric = find_metric(name)
    return metric is not None and metric.is_diagnostic


def display_name(name: str, facts: Facts = _NONE) -> str:
    """Return what tables call a metric; `facts` are of those that are not ours."""
    metric, rank = find_metric(name), rank_in(name)
    if metric is not None:
        return f"{metric.title}@{rank}" if rank else metric.title
    if name not in facts:
        return name
    title = plain(facts[name].title, 40)
    return title if facts[name].higher_is_better else f"{title} (lower is better)"


def figure(name: str, value: Estimate | None, facts: Facts = _NONE) -> str:
    """Return what `percent` does for shares; the mean and half-width of others in four digits."""
    if value is None or name not in facts or facts[name].is_share or not isfinite(value.mean):
        return percent(value)
    width = "" if value.half_width is None else f" ± {value.half_width:.4g}"
    return f"{value.mean:.4g}{width}"


def percent(value: Estimate | None) -> str:
    """Return ``64.21 ± 0.35``: mean and half of the interval in percent.

    The mean alone if there is no interval (one seed has none), and ``–`` if there is no mean.
    """
    if value is None or not isfinite(value.mean):
        return "–"
    width = "" if value.half_width is None else f" ± {points(value.half_width)}"
    return f"{points(value.mean)}{width}"


def points(share: float | None) -> str:
    """Return ``64.21``: a share in percent, or a difference of shares in percent points."""
    return "–" if share is None else f"{100 * share:.2f}"
