"""What a baseline must make of items and labels.

Every public function here is a check.
"""

import warnings
from typing import Any

import numpy as np

from dmlbench.compute.process_state import require_untouched
from dmlbench.errors import PluginError
from dmlbench.testing.findings import NotApplicableError, case
from dmlbench.testing.subject import Subject

_CLASSES, _ITEMS, _FEATURES, _COMPONENTS = 5, 60, 12, 3


def it_makes_an_embedding_of_each_item(subject: Subject) -> None:
    """After `fit(X, y)`, `transform(X)` returns finite numbers [N, E], even for one new item."""
    items, labels = _data()
    fitted = _fit(subject, items, labels)
    new, _ = _data(seed=1)
    widths = set()
    for name, some in (
        ("the items it was fitted to", items),
        ("new items", new),
        ("one item", new[:1]),
    ):
        with case(name):
            embeddings = _transform(fitted, some)
            if embeddings.ndim != 2 or len(embeddings) != len(some):
                raise PluginError(
                    f"transform made {[*embeddings.shape]} from {len(some)} items; it must make "
                    f"one row of numbers per item, [{len(some)}, E]."
                )
            if not np.isfinite(embeddings).all():
                raise PluginError(
                    "transform made numbers that are not finite. Look for a division by 0, or a "
                    "logarithm or root of 0."
                )
            widths.add(embeddings.shape[1])
    if len(widths) > 1:
        raise PluginError(
            f"Embeddings have {' or '.join(map(str, sorted(widths)))} numbers. Make the same "
            "number for all items."
        )


def constant_features_give_finite_numbers(subject: Subject) -> None:
    """A pixel that is black in every training image, or two equal items, cause no division by 0."""
    items, labels = _data()
    items[:, :2] = 0
    items[1] = items[0]
    embeddings = _transform(_fit(subject, items, labels), items)
    if not np.isfinite(embeddings).all():
        raise PluginError(
            "With features that are the same in all items, it makes numbers that are not finite. "
            "Don't divide such features by their deviation."
        )


def the_same_seed_gives_the_same_embeddings(subject: Subject) -> None:
    """A trial repeats: randomness comes from random_state, or from NumPy's global generator."""
    items, labels = _data()
    found = []
    for _ in range(2):
        np.random.seed(0)
        found.append(_transform(_fit(subject, items, labels), items))
    if found[0].shape != found[1].shape or not np.array_equal(found[0], found[1]):
        raise PluginError(
            "Fitted twice with the same data and seed, it makes different embeddings. Add an "
            "argument random_state, and draw from it alone."
        )


def its_inputs_stay_as_they_were(subject: Subject) -> None:
    """Others use items and labels after it."""
    items, labels = _data()
    before = items.copy(), labels.copy()
    _transform(_fit(subject, items, labels), items)
    if not np.array_equal(before[0], items) or not np.array_equal(before[1], labels):
        raise PluginError("It changes X or y, which others use after it. Work on a copy.")


def the_surroundings_stay_as_they_were(subject: Subject) -> None:
    """A baseline sets nothing that the whole process shares."""
    items, labels = _data()
    # The harness seeds NumPy before each fit, for estimators that draw from its global generator.
    but = () if "random_state" in subject.asks else ("numpy.random's global state",)
    require_untouched(lambda: _transform(_fit(subject, items, labels), items), but=but)


def it_can_be_cloned(subject: Subject) -> None:
    """An estimator like scikit-learn's can be copied through its get_params."""
    from sklearn.base import clone

    estimator = subject.make()
    if not hasattr(estimator, "get_params"):
        raise NotApplicableError("It has no get_params.")
    before = estimator.get_params()
    after = clone(estimator).get_params()
    changed = [name for name, value in before.items() if repr(value) != repr(after.get(name))]
    if changed:
        raise PluginError(
            f"After cloning, its {' and '.join(changed)} differ. __init__ must store its arguments "
            "under their names, unchanged."
        )


def _data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return items with values in 0-1 ``[N, D]`` float32, and labels ``[N]``."""
    rng = np.random.default_rng(seed)
    labels = np.arange(_ITEMS) % _CLASSES
    middles = np.random.default_rng(2).uniform(0.2, 0.8, (_CLASSES, _FEATURES))
    items = middles[labels] + rng.normal(0, 0.1, (_ITEMS, _FEATURES))
    return items.clip(0, 1).astype(np.float32), labels


def _fit(subject: Subject, items: np.ndarray, labels: np.ndarray) -> Any:
    """Return a fitted estimator, with its number of components set as by the harness."""
    estimator = subject.make()
    components = subject.hyperparameters.get("n_components")
    if components and components.default is None and "n_components" not in subject.settings:
        estimator.set_params(n_components=_COMPONENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with so few items, some don't converge
        estimator.fit(items, labels)
    return estimator


def _transform(fitted: Any, items: np.ndarray) -> np.ndarray:
    return np.asarray(fitted.transform(items), dtype=np.float32)
