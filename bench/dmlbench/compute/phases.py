"""Where the time of a trial goes: to loading, training, validation or the test."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")

_clock: ContextVar["PhaseClock | None"] = ContextVar("_clock", default=None)


class PhaseClock:
    """The seconds of each phase so far."""

    def __init__(self) -> None:
        self._over: dict[str, float] = {}
        self._running: tuple[str, float] | None = None

    def start(self, name: str) -> None:
        """Start the phase `name`."""
        self._running = (name, time.perf_counter())

    def end(self) -> None:
        """End the phase that is running."""
        self._over, self._running = self.read(), None

    def read(self) -> dict[str, float]:
        """Return the seconds by phase, with those of the one that is running."""
        seconds = dict(self._over)
        if self._running:
            name, started = self._running
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
        return seconds


@contextmanager
def seconds_by_phase() -> Iterator[PhaseClock]:
    """Yield a clock of each `phase` inside."""
    clock = PhaseClock()
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Count the time inside to the phase `name`; phases don't hold others."""
    clock = _clock.get()
    if clock is not None:
        clock.start(name)
    try:
        yield
    finally:
        if clock is not None:
            clock.end()


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
