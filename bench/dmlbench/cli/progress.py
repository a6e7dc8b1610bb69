"""What a user sees while photos are decoded and trials run."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dmlbench.contracts.hooks import hookimpl
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial

_LINE_EVERY_SECONDS = 15.0


class ProgressDisplay:
    """A bar for the whole run and one for each trial under way; plain lines without a terminal."""

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self.finished = 0
        self.last_line = time.monotonic()
        self.console = Console(stderr=True)
        self.progress = _bars(self.console)
        self.tasks: dict[str, TaskID] = {}

    @hookimpl
    def dmlbench_run_started(self) -> None:
        """Show the bar of the run."""
        self.whole = self.progress.add_task("all trials", total=self.trials)
        if self.console.is_terminal:
            self.progress.start()

    @hookimpl
    def dmlbench_trial_started(self, trial: Trial) -> None:
        """Show the trial's bar."""
        epochs = trial.protocol.length.epochs + 1 if "loss" in trial.parts else 1
        self.tasks[trial.id] = self.progress.add_task(str(trial), total=epochs)

    @hookimpl
    def dmlbench_epoch_finished(self, trial: Trial) -> None:
        """Move the trial's bar."""
        self.progress.advance(self.tasks[trial.id])

    @hookimpl
    def dmlbench_trial_finished(self, trial: Trial, record: Record) -> None:
        """Remove the trial's bar, move the run's, and say if the trial failed."""
        self.finished += 1
        self.progress.advance(self.whole)
        if trial.id in self.tasks:
            self.progress.remove_task(self.tasks.pop(trial.id))
        if record.status == "failed":
            self.console.print(f"failed: {trial}: {record.reason}", markup=False, highlight=False)
        elif not self.console.is_terminal and self._is_time():
            self.console.print(f"{self.finished} of {self.trials} trials", highlight=False)

    @hookimpl
    def dmlbench_run_finished(self) -> None:
        """Take the bars away."""
        self.progress.stop()

    def _is_time(self) -> bool:
        now = time.monotonic()
        due = now - self.last_line > _LINE_EVERY_SECONDS or self.finished == self.trials
        if due:
            self.last_line = now
        return due


class EpochLog:
    """A line for each epoch of each trial."""

    @hookimpl
    def dmlbench_epoch_finished(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """Print the epoch's loss, distances and validation metrics."""
        figures = [] if metrics["loss"] is None else [f"loss {metrics['loss']:.4f}"]
        for split, distance in metrics["distances"].items():
            positive, negative = distance["positive"], distance["negative"]
            figures.append(f"{split} distances {positive:.3f} / {negative:.3f}")
        figures += [f"validation {key} {value:.4f}" for key, value in metrics["validation"].items()]
        click.echo(f"{trial}, epoch {metrics['epoch']}: {', '.join(figures)}")

    @hookimpl
    def dmlbench_trial_finished(self, trial: Trial, record: Record) -> None:
        """Print the outcome."""
        figures = [f"{name} {value:.4f}" for name, value in record.metrics.items()]
        click.echo(f"{trial}: {record.status} {record.reason or ', '.join(figures)}")


@contextmanager
def decoding_display() -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows how many photos are decoded, of how many."""
    console = Console(stderr=True)
    bars = _bars(console)
    task = bars.add_task("decoding photos, once", total=None)

    def show(done: int, total: int) -> None:
        if console.is_terminal:
            bars.start()
        elif done == total:
            console.print(f"{total} photos decoded", highlight=False)
        bars.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        bars.stop()


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
