"""What a user sees while photos are decoded and trials run: in a terminal, a notebook, a log."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

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

from dmlbench.contracts.executor import Doing
from dmlbench.contracts.hooks import hookimpl
from dmlbench.counted import counted
from dmlbench.executors.sharing import OtherRuns
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial

_LINE_EVERY_SECONDS = 15.0
"""From one line on finished trials to the next, where no bar can move."""
_SILENCE_SECONDS = 60.0
"""Longest time without a line there."""


class ProgressDisplay:
    """A bar for the whole run and one for each running trial; plain lines where no bar can move."""

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self.finished = 0
        self.last_line = time.monotonic()
        self.console = Console(stderr=True)
        self.live = _is_live(self.console)
        self.progress = _bars(self.console)
        self.tasks: dict[str, TaskID] = {}
        self.under_way: dict[str, str] = {}
        self.said_others = False
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._break_silence, daemon=True)

    @hookimpl
    def dmlbench_run_started(self) -> None:
        """Show the bar of the run."""
        self.whole = self.progress.add_task("all trials", total=self.trials)
        if self.live:
            self.progress.start()

    def start(self) -> None:
        """Say once a minute what is under way, where no bar can move."""
        if not self.live:
            self._writer.start()

    def stop(self) -> None:
        """Remove the bars, or write no more lines."""
        self._over.set()
        if self.live:
            self.progress.stop()
        elif self._writer.is_alive():
            self._writer.join()

    @hookimpl
    def dmlbench_trial_started(self, trial: Trial) -> None:
        """Show the trial's bar."""
        epochs = trial.protocol.length.epochs + 1 if "loss" in trial.parts else 1
        if trial.protocol.validation.then == "retrain-all" and "loss" in trial.parts:
            epochs *= 2  # at most
        self.tasks[trial.id] = self.progress.add_task(str(trial), total=epochs)
        self.under_way[trial.id] = f"{trial}: started"

    @hookimpl
    def dmlbench_trial_progressed(self, trial: Trial, doing: Doing) -> None:
        """Show what the trial is doing."""
        self.under_way[trial.id] = f"{trial}: {doing}"
        if trial.id in self.tasks:
            self.progress.update(self.tasks[trial.id], description=f"{trial}: {doing}")

    @hookimpl
    def dmlbench_epoch_finished(self, trial: Trial) -> None:
        """Advance the trial's bar."""
        self.progress.advance(self.tasks[trial.id])

    @hookimpl
    def dmlbench_trial_finished(self, trial: Trial, record: Record) -> None:
        """Remove the trial's bar, advance the run's, and report a failure."""
        if trial.id in self.tasks:
            self.progress.remove_task(self.tasks.pop(trial.id))
        self.under_way.pop(trial.id, None)
        self._count(trial, record)

    def show_others(self, others: OtherRuns) -> None:
        """Count what other runs finished, and say how many trials they are at."""
        for record in others.records:
            self._count(record.trial, record)
        text = _under_way(others.under_way)
        self.progress.update(self.whole, description=f"all trials{text and f' ({text})'}")
        if text and not self.live and (self._is_time() or not self.said_others):
            self.said_others = True
            self.console.print(text, highlight=False)

    def _count(self, trial: Trial, record: Record) -> None:
        self.finished += 1
        self.progress.advance(self.whole)
        if record.status == "failed":
            self.console.print(f"failed: {trial}: {record.reason}", markup=False, highlight=False)
        elif not self.live and self._is_time():
            of = counted(self.trials, "trial")
            self.console.print(f"{self.finished} of {of}", highlight=False)

    def _break_silence(self) -> None:
        """Say what is under way once a minute, however long nothing happens."""
        while not self._over.wait(max(0.1, self.last_line + _SILENCE_SECONDS - time.monotonic())):
            if time.monotonic() - self.last_line >= _SILENCE_SECONDS:
                self.last_line = time.monotonic()
                now = "; ".join(tuple(self.under_way.values())) or "waiting"
                text = f"{self.finished} of {counted(self.trials, 'trial')}; {now}"
                self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _is_time(self) -> bool:
        now = time.monotonic()
        due = now - self.last_line > _LINE_EVERY_SECONDS or self.finished == self.trials
        if due:
            self.last_line = now
        return due


def _under_way(trials: int) -> str:
    if not trials:
        return ""
    return f"{counted(trials, 'trial')} {'are' if trials > 1 else 'is'} under way in another run"


@contextmanager
def run_display(trials: int) -> Iterator[ProgressDisplay]:
    """Yield the display of a run, whose bars go when it ends, or when it is interrupted."""
    display = ProgressDisplay(trials)
    display.start()
    try:
        yield display
    finally:
        display.stop()


@contextmanager
def decoding_display() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many photos have been decoded, and of how many."""
    console = Console(stderr=True)
    live = _is_live(console)
    bars = _bars(console)
    task = bars.add_task("decoding photos, once", total=None)
    last_line = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last_line
        if live:
            bars.start()
        elif done == total:
            console.print(f"{total} photos decoded", highlight=False)
        elif time.monotonic() - last_line >= _SILENCE_SECONDS:
            last_line = time.monotonic()
            console.print(f"decoding photos, once: {done:,} of {total:,}", highlight=False)
        bars.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if live:
            bars.stop()


def _is_live(console: Console) -> bool:
    """Return whether bars can move: in a terminal, and in a notebook that has ipywidgets."""
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return console.is_terminal


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
