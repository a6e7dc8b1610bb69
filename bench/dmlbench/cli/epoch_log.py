"""What ``dmlbench run --log`` prints."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from dmlbench.contracts.hooks import hookimpl
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial


class EpochLog:
    """A line for each epoch of each trial.

    Args:
        on_closed: called once nobody reads the output any more: ``dmlbench run --log | head``.
    """

    def __init__(self, on_closed: Callable[[], None] = lambda: None) -> None:
        self._on_closed = on_closed

    @hookimpl
    def dmlbench_epoch_finished(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """Print the epoch's loss, and distances and validation metrics where measured."""
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
        figures = [f"{name} {value:.4f}" for name, value in record.metrics.items()]
        self._print(f"{trial}: {record.status} {record.reason or ', '.join(figures)}")

    def _print(self, line: str) -> None:
        try:
            click.echo(line)
        except BrokenPipeError:
            self._on_closed()
