"""Where two records of one trial differ, to the bit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmlbench.counted import counted
from dmlbench.errors import DataError
from dmlbench.schemas.record import Array, Epoch, Record

ABSENT = "–"
"""Stands in for a value that one of the records does not have."""

_PLAIN = ("status", "reason", "selected_epoch", "selection", "collapsed")
_BY_NAME = ("metrics", "last_epoch_metrics", "details")


@dataclass(frozen=True)
class Difference:
    """One value in which two records differ."""

    field: str
    """Its place in the record, such as ``metrics.map_at_r``."""
    first: Any
    second: Any

    @property
    def is_new(self) -> bool:
        """Return whether only the second record has it: another version of dmlbench kept more."""
        return self.first is ABSENT


def differences(first: Record, second: Record) -> list[Difference]:
    """Return where the figures of two records differ; measurements and versions are no figures."""
    found = [
        Difference(name, getattr(first, name), getattr(second, name))
        for name in _PLAIN
        if getattr(first, name) != getattr(second, name)
    ]
    for name in _BY_NAME:
        found += _by_key(name, getattr(first, name), getattr(second, name))
    found += _epochs("epochs", first.epochs, second.epochs)
    found += _epochs("retraining", first.retraining, second.retraining)
    found += _arrays(first.per_query, second.per_query)
    return found


def changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the pairs of values that differ, by key; what one of them lacks is `ABSENT`."""
    pairs = {
        key: (first.get(key, ABSENT), second.get(key, ABSENT))
        for key in sorted(first.keys() | second.keys())
    }
    return {key: (before, after) for key, (before, after) in pairs.items() if before != after}


def _by_key(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    for key, (before, after) in changed(first, second).items():
        yield Difference(f"{name}.{key}", before, after)


def _epochs(name: str, first: Sequence[Epoch], second: Sequence[Epoch]) -> Iterator[Difference]:
    if len(first) != len(second):
        yield Difference(name, counted(len(first), "epoch"), counted(len(second), "epoch"))
        return
    unlike = [one.epoch for one, other in zip(first, second, strict=True) if one != other]
    if unlike:
        yield Difference(name, "", f"{len(unlike)} of {len(first)} differ, from {unlike[0]} on")


def _arrays(first: Mapping[str, Array], second: Mapping[str, Array]) -> Iterator[Difference]:
    for name, (before, after) in changed(first, second).items():
        if ABSENT in (before, after):
            sides = [ABSENT if side is ABSENT else "an array" for side in (before, after)]
        else:
            try:
                one, other = before.unpack(), after.unpack()
            except DataError:
                yield Difference(f"per_query.{name}", "", "differs, and one is damaged")
                continue
            if one.dtype == other.dtype and np.array_equal(one, other):
                continue  # only compressed differently
            sides = [counted(len(one), "item"), counted(len(other), "item")]
            if one.shape == other.shape:
                sides = ["", f"{int((one != other).sum())} of {len(one)} items differ"]
        yield Difference(f"per_query.{name}", *sides)
