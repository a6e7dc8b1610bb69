"""Where the time of a trial goes: to loading, training, validation or the test.

Whoever works at one may say how far it is; a worker hears it, and tells the run.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")

Listener = Callable[[str, int, int, str], None]
"""Called with a phase, how much of it is done, of how much (0: not counted), and the unit."""

_NAMES = {"load": "loading", "train": "training", "validate": "validation", "test": "test"}


def _nobody(phase: str, done: int, total: int, unit: str) -> None:
    """Listen to nothing."""


_clock: ContextVar["PhaseClock | None"] = ContextVar("_clock", default=None)
_listener: ContextVar[Listener] = ContextVar("_listener", default=_nobody)
_part: ContextVar[tuple[str, int, int]] = ContextVar("_part", default=("", 0, 0))


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
        with part_of_phase(_NAMES.get(name, name)):
            progressed(0, 0, "")
            yield
    finally:
        if clock is not None:
            clock.end()


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Call `listener` with what the trial inside is doing."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def part_of_phase(name: str, before: int = 0, total: int = 0) -> Iterator[None]:
    """Call what is done inside `name`.

    Args:
        name: what users know it as.
        before: how much of it was done before.
        total: of how much; 0 if only what is done inside is counted.
    """
    token = _part.set((name, before, total))
    try:
        yield
    finally:
        _part.reset(token)


def progressed(done: int, total: int, unit: str) -> None:
    """Say that `done` of `total` units are over of what is under way."""
    name, before, of_all = _part.get()
    _listener.get()(name, before + done, of_all or total, unit)


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
