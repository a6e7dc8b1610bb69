"""What the batches of a sampler must be.

Every public function here is a check.
"""

import inspect
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from dmlbench.compute.process_state import require_untouched
from dmlbench.contracts.components import Sampler
from dmlbench.errors import ConfigError, DataError, PluginError
from dmlbench.testing.findings import case
from dmlbench.testing.subject import Subject

_GIVEN = ("labels", "batch_size", "steps", "rng")
_ON_REQUEST = ("groups", "embeddings")
_SIZE, _STEPS = 32, 5

Batches = list[np.ndarray]


def it_asks_only_for_what_a_sampler_can_have(subject: Subject) -> None:
    """Besides labels, batch_size, steps and rng, a sampler may ask for groups and embeddings."""
    found = inspect.signature(subject.component.batches).parameters
    lacking = [name for name in _GIVEN if name not in found]
    if lacking:
        raise PluginError(
            f"batches has no argument {' and '.join(lacking)}. Write it as batches(self, labels, "
            "*, batch_size, steps, rng)."
        )
    known = ("self", *_GIVEN, *_ON_REQUEST)
    unknown = [
        name
        for name, parameter in found.items()
        if name not in known and parameter.default is parameter.empty
    ]
    if unknown:
        raise PluginError(
            f"batches asks for {' and '.join(unknown)}, which no sampler is given. It may ask for "
            f"{' and '.join(_ON_REQUEST)}; make anything else a hyper-parameter of __init__."
        )


def every_batch_is_full_of_item_indices(subject: Subject) -> None:
    """There are as many batches as steps, each of `batch_size` int64 indices of items."""
    for name, labels in _ordinary_labels().items():
        with case(name):
            _require_form(_draw(subject.make(), labels), labels)


def the_ends_of_its_search_spaces_work_or_are_refused(subject: Subject) -> None:
    """A setting that does not fit the batch or the data raises a ConfigError that says so."""
    for setting, variant in subject.at_the_ends():
        for name, labels in _ordinary_labels().items():
            with case(setting), case(name):
                _work_or_refuse(variant, labels)


def odd_inputs_work_or_are_refused(subject: Subject) -> None:
    """Few items, few classes, odd batch sizes: it works, or a ConfigError says what to change."""
    odd = {
        "no items at all": (np.zeros(0, int), _SIZE),
        "a single item": (np.zeros(1, int), _SIZE),
        "one class": (np.zeros(40, int), _SIZE),
        "two items of two classes": (np.arange(2), _SIZE),
        "a class for each item": (np.arange(40), _SIZE),
        "batches of one item": (np.arange(40) % 5, 1),
        "batches of 7 items": (np.arange(40) % 5, 7),
        "batches larger than the data": (np.arange(12) % 3, 64),
    }
    for name, (labels, size) in odd.items():
        with case(name):
            _work_or_refuse(subject, labels, size)


def the_same_rng_gives_the_same_batches(subject: Subject) -> None:
    """The batches of an epoch depend on the rng, labels and settings: a trial repeats."""
    (labels, *_) = _ordinary_labels().values()
    sampler = subject.make()
    first, again = _draw(sampler, labels), _draw(sampler, labels)
    other = _draw(subject.make(), labels)
    for name, batches in (("the same sampler", again), ("another sampler", other)):
        same = len(first) == len(batches) and all(map(np.array_equal, first, batches))
        if not same:
            raise PluginError(
                f"Called twice with an rng in the same state, {name} makes different batches. Draw "
                "from the rng alone, and keep nothing from one epoch for the next: a stopped trial "
                "goes on with a new sampler."
            )


def labels_stay_as_they_were(subject: Subject) -> None:
    """Others use labels, groups and embeddings after it."""
    (labels, *_) = _ordinary_labels().values()
    given = {"labels": labels, **_extras(subject.component, labels)}
    before = {name: array.copy() for name, array in given.items()}
    _draw(subject.make(), labels, extras=given)
    changed = [name for name, array in given.items() if not np.array_equal(array, before[name])]
    if changed:
        raise PluginError(
            f"It changes {' and '.join(changed)}, which others use after it. Work on a copy."
        )


def the_surroundings_stay_as_they_were(subject: Subject) -> None:
    """Randomness comes from the rng that it is given; global generators are not touched."""
    (labels, *_) = _ordinary_labels().values()
    require_untouched(lambda: _draw(subject.make(), labels))


def _ordinary_labels() -> Mapping[str, np.ndarray]:
    rng = np.random.default_rng(0)
    unequal = np.repeat([-3, 0, 1, 5, 9, 20, 21, 30], [2, 3, 5, 8, 13, 21, 34, 55])
    return {
        "12 classes of 8 items": rng.permutation(np.arange(96) % 12),
        "classes of 2 to 55 items, with gaps between their ids": rng.permutation(unequal),
    }


def _extras(component: type[Sampler], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return groups and embeddings, as far as the sampler asks for them."""
    embeddings = np.random.default_rng(1).normal(size=(len(labels), 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    available = {"groups": labels // 3 - min(labels // 3, default=0), "embeddings": embeddings}
    asked = inspect.signature(component.batches).parameters
    return {name: array for name, array in available.items() if name in asked}


def _draw(
    sampler: Sampler,
    labels: np.ndarray,
    size: int = _SIZE,
    extras: Mapping[str, Any] | None = None,
) -> Batches:
    """Return the batches of an epoch, and one more than asked for if there are more."""
    more = {"labels": labels, **(extras or _extras(type(sampler), labels))}
    rng = np.random.default_rng(2)
    batches: Iterator[np.ndarray] = sampler.batches(**more, batch_size=size, steps=_STEPS, rng=rng)
    return list(islice(batches, _STEPS + 1))


def _require_form(batches: Batches, labels: np.ndarray, size: int = _SIZE) -> None:
    if len(batches) != _STEPS:
        made = f"{len(batches)}" if len(batches) < _STEPS else f"more than {_STEPS}"
        raise PluginError(f"Asked for {_STEPS} batches, it makes {made}. Yield `steps` batches.")
    for batch in batches:
        if not isinstance(batch, np.ndarray) or batch.dtype != np.int64 or batch.ndim != 1:
            what = (
                f"{batch.dtype} {[*batch.shape]}"
                if isinstance(batch, np.ndarray)
                else (type(batch).__name__)
            )
            raise PluginError(f"A batch is {what}; it must be an int64 array of item indices [B].")
        if len(batch) != size:
            raise PluginError(
                f"A batch has {len(batch)} items instead of {size}. Repeat items, start the next "
                "round early, or refuse the batch size with a ConfigError."
            )
        if batch.min() < 0 or batch.max() >= len(labels):
            raise PluginError(
                f"A batch has indices from {batch.min()} to {batch.max()}, but there are "
                f"{len(labels)} items. Yield indices of items, not their classes."
            )


def _work_or_refuse(subject: Subject, labels: np.ndarray, size: int = _SIZE) -> None:
    try:
        batches = _draw(subject.make(), labels, size)
    except (ConfigError, DataError) as error:
        if len(str(error)) < 20:
            raise PluginError(
                f"It refuses with a {type(error).__name__} that only says {str(error)!r}. Say what "
                "does not fit together, and what would."
            ) from error
        return
    _require_form(batches, labels, size)
