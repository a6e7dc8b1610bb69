"""What ``dmlbench run --log`` prints."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from dmlbench.contracts.executor import Doing
from dmlbench.contracts.hooks import hookimpl
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial

_SILENCE_SECONDS = 60.0


class EpochLog:
    """A line for each epoch of each trial, and one a minute in between.

    Args:
        on_closed: called once nobody reads the output any more: ``dmlbench run --log | head``.
    """

    def __init__(self, on_closed: Callable[[], None] = lambda: None) -> None:
        self._on_closed = on_closed
        self._last: dict[str, float] = {}

    @hookimpl
    def dmlbench_trial_progressed(self, trial: Trial, doing: Doing) -> None:
        """Print what the trial is doing, if nothing was printed of it for a minute."""
        now = time.monotonic()
        if now - self._last.setdefault(trial.id, now) >= _SILENCE_SECONDS:
            self._last[trial.id] = now
            self._print(f"{trial}: {doing}")

    @hookimpl
    def dmlbench_epoch_finished(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """Print the epoch's loss, and distances and validation metrics where measured."""
        self._last[trial.id] = time.monotonic()
        figures = [] if metrics["loss"] is None else [f"loss {metrics['loss']:.4f}"]
        for split, distance in metrics["distances"].items():
            positive, negative = distance["positive"], distance["negative"]
            figures.append(f"{split} distances {positive:.3f} / {negative:.3f}")
        figures += [f"validation {key} {value:.4f}" for key, value in metrics["validation"].items()]
        course = "retraining, " if metrics["retraining"] else ""
        self._print(f"{trial}, {course}epoch {metrics['epoch']}: {', '.join(figures)}")

    @hookimpl
    def dmlbench_trial_finished(self, trial: Trial, record: Record) -> None:
        """Print the outcome."""
        self._last.pop(trial.id, None)
        figures = [f"{name} {value:.4f}" for name, value in record.metrics.items()]
        self._print(f"{trial}: {record.status} {record.reason or ', '.join(figures)}")

    def _print(self, line: str) -> None:
        try:
            click.echo(line)
        except BrokenPipeError:
            self._on_closed()
