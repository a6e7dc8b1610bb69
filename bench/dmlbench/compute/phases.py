"""Where the time of a trial goes: to loading, training, validation or the test."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")

_seconds: ContextVar[dict[str, float] | None] = ContextVar("_seconds", default=None)


@contextmanager
def seconds_by_phase() -> Iterator[dict[str, float]]:
    """Yield a dictionary that collects the seconds of each `phase` inside, by its name."""
    found: dict[str, float] = {}
    token = _seconds.set(found)
    try:
        yield found
    finally:
        _seconds.reset(token)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Count the time inside to the phase `name`; phases don't hold others."""
    started = time.perf_counter()
    try:
        yield
    finally:
        found = _seconds.get()
        if found is not None:
            found[name] = found.get(name, 0.0) + time.perf_counter() - started


def each_in_phase(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """Yield `items`, and count the time that it takes to make them to the phase `name`."""
    made = iter(items)
    while True:
        with phase(name):
            try:
                item = next(made)
            except StopIteration:
                return
        yield item
