"""What a metric has to make of rankings.

Every public function here is a check.
"""

import numpy as np

from dmlbench.errors import PluginError
from dmlbench.retrieval import Metric, SetMetric, evaluate
from dmlbench.testing.findings import NotApplicableError, case
from dmlbench.testing.subject import Subject

_KEY = "checked"
_ROUNDING = 1e-9


def it_says_what_it_needs(subject: Subject) -> None:
    """`title` is a text for tables, and `needs` names arrays that a ranking gives."""
    metric = subject.make()
    if not isinstance(metric.title, str) or not metric.title.strip():
        raise PluginError(f"title is {metric.title!r}; state what tables call the metric.")
    if not isinstance(metric.needs, frozenset) or metric.unknown_needs():
        raise PluginError(
            f"needs is {metric.needs!r}; it must be a frozenset of the names that dmlbench.Metric "
            "lists."
        )


def it_is_a_finite_number(subject: Subject) -> None:
    """Its value is finite for good, bad and collapsed embeddings, and in 0 to 1 if a share."""
    for name, spread in (("separate classes", 0.01), ("mixed classes", 3.0), ("one point", 0.0)):
        with case(name):
            metric = subject.make()
            embeddings, labels = _items(spread)
            if name == "one point":
                embeddings[:] = 1
            value = _value(metric, embeddings, labels)
            if not np.isfinite(value):
                raise PluginError(
                    f"Its value is {value}. Return a finite number whatever the embeddings are."
                )
            is_share = metric.is_share and not isinstance(metric, SetMetric)
            if is_share and not 0 <= value <= 1:
                raise PluginError(
                    f"Its value is {value}, and it is said to be a share. State is_share = False "
                    "where it may leave the range from 0 to 1."
                )


def the_order_of_the_items_does_not_matter(subject: Subject) -> None:
    """The same items in another order have the same value."""
    metric = subject.make()
    if isinstance(metric, SetMetric):
        raise NotApplicableError(
            "A figure of the whole set, such as by k-means, may start anywhere."
        )
    embeddings, labels = _items(1.0)
    order = np.random.default_rng(1).permutation(len(labels))
    value, shuffled = (
        _value(metric, embeddings[some], labels[some]) for some in (slice(None), order)
    )
    if not abs(value - shuffled) < _ROUNDING:
        raise PluginError(f"Its value is {value}, and {shuffled} for the same items shuffled.")


def the_same_items_have_the_same_value(subject: Subject) -> None:
    """A record repeats to the bit: a metric that draws random numbers seeds them itself."""
    embeddings, labels = _items(1.0)
    values = [_value(subject.make(), embeddings, labels) for _ in range(2)]
    if values[0] != values[1]:
        raise PluginError(f"Its value is {values[0]}, and {values[1]} when computed again.")


def it_leaves_the_arrays_alone(subject: Subject) -> None:
    """Arrays are shared with other metrics: none is written to."""
    metric = subject.make()
    embeddings, labels = _items(1.0)
    _value(metric, embeddings, labels)
    before = embeddings.copy(), labels.copy()
    found = evaluate(embeddings, labels, metrics={_KEY: metric}).per_query.arrays()
    if isinstance(metric, SetMetric):
        metric.of_set(embeddings, labels)
        changed = [
            not np.array_equal(*pair) for pair in zip(before, (embeddings, labels), strict=True)
        ]
    else:
        copies = {name: array.copy() for name, array in found.items()}
        metric.by_query(found)
        changed = [not np.array_equal(found[name], copies[name]) for name in copies]
    if any(changed):
        raise PluginError("It wrote to an array that it was given. Work on a copy.")


def _items(spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings ``[40, 8]`` and labels: classes of 2 to 8 items around their centres."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), (2, 3, 4, 5, 5, 6, 7, 8))
    centres = rng.normal(size=(8, 8))
    return (centres[labels] + spread * rng.normal(size=(len(labels), 8))).astype(np.float32), labels


def _value(metric: Metric, embeddings: np.ndarray, labels: np.ndarray) -> float:
    if "correct" in metric.needs:
        raise NotApplicableError("It reads votes of cross-validation, which no ranking gives.")
    return evaluate(embeddings, labels, metrics={_KEY: metric}).metrics[_KEY]
