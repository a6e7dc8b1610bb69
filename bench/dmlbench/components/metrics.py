"""From the names of metrics to the metrics: ours, and those of installed packages."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose
from dmlbench.errors import ConfigError, PluginError, nearest
from dmlbench.retrieval.contract import Metric
from dmlbench.retrieval.metrics import find_metric, key_of
from dmlbench.schemas.record import MetricFacts


@dataclass(frozen=True)
class ChosenMetrics:
    """Metrics asked for besides those of every trial, by key."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    facts: dict[str, MetricFacts] = field(default_factory=dict)
    """What a record says of each that is not ours."""


def choose_metrics(names: Iterable[str], catalogue: Catalogue) -> ChosenMetrics:
    """Return the metrics that `names` name: a key, an alias, or what a package offers.

    Raises:
        ConfigError: there is none of that name, or a package's is called as one of ours.
        PluginError: it can't be imported or made, or breaks its contract.
    """
    metrics: dict[str, Metric] = {}
    facts: dict[str, MetricFacts] = {}
    for name in (name.removeprefix("dmlbench:") for name in names):
        ours = find_metric(name)
        if ours is not None:
            if "correct" in ours.needs:
                raise ConfigError(f"{name} is of cross-validated datasets, which always have it.")
            metrics[metric_key(name)] = ours
            continue
        key, theirs, told = _of_a_package(name, catalogue)
        metrics[key], facts[key] = theirs, told
    return ChosenMetrics(metrics, facts)


def metric_reference(name: str) -> str:
    """Return how the catalogue refers to the metric that `name` names.

    Example:
        >>> [metric_reference(name) for name in ("mrr", "recall@10", "./mine.py:MeanRank")]
        ['mean_reciprocal_rank', 'recall/10', './mine.py:MeanRank']
    """
    if "/" in name or ".py:" in name:  # a path, in which @ is a letter
        return name
    name, mark, argument = name.partition("@")
    return f"{key_of(name)}/{argument}" if mark else key_of(name)


def metric_key(name: str) -> str:
    """Return what a record calls the metric that `name` names.

    Example:
        >>> [metric_key(name) for name in ("mrr", "their-package:ndcg", "./mine.py:MeanRank")]
        ['mean_reciprocal_rank', 'ndcg', 'mean_rank']
    """
    name = name.removeprefix("dmlbench:")
    if find_metric(name) is not None:
        return key_of(name)
    last = name.rpartition(":")[2].replace("/", "@")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).lower()


def _of_a_package(name: str, catalogue: Catalogue) -> tuple[str, Metric, MetricFacts]:
    """Return the key, the metric, and what records say of it."""
    try:
        composition = compose(catalogue, "metric", metric_reference(name))
    except ConfigError as error:
        if name.partition("@")[0] in ("recall", "precision"):
            raise ConfigError(f"{name}: say at which rank, as recall@10.") from error
        known = catalogue.references("metric")
        raise ConfigError(f"There is no metric named {name!r}." + nearest(name, known)) from error
    (metric,) = composition.make("metric", composition.resolve("metric", {}))
    unknown = metric.unknown_needs()
    if unknown:
        raise PluginError(
            f"The metric {name!r} needs {', '.join(map(repr, unknown))}, which no ranking gives; "
            "see dmlbench.Metric."
        )
    key = metric_key(composition.name)
    if find_metric(key) is not None:
        raise ConfigError(
            f"The metric {key!r} of {composition.distribution} is called as one of dmlbench's. Its "
            "author must choose another name."
        )
    code = composition.code()
    told = MetricFacts(
        title=metric.title,
        higher_is_better=metric.higher_is_better,
        is_share=metric.is_share,
        needs=sorted(metric.needs),
        distribution=composition.distribution,
        version=composition.version,
        source=code.hash,
        libraries=code.libraries,
    )
    return key, metric, told
