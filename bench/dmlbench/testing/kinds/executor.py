"""What an executor has to do with trials, wherever it runs them.

Every public function here is a check.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from dmlbench.compute.process_state import require_untouched
from dmlbench.contracts.executor import Event, Executor, Task, WorkerSettings
from dmlbench.errors import PluginError
from dmlbench.schemas.trial import Trial
from dmlbench.testing.quick_trials import EPOCHS, long_task, note, quick_task, trial, trials
from dmlbench.testing.subject import Subject

_TRIALS = 5
_AHEAD = 1_000
"""More trials than any executor under check has slots for."""
_SOON_SECONDS = 30.0
"""What an end may take; the task would take twice as long."""


def every_trial_is_run_once(subject: Subject) -> None:
    """Each trial of the iterator reaches a worker, one time, and ends with its record."""
    with _settings() as settings:
        events = list(_run(subject.make(), quick_task, islice(trials(), _TRIALS), settings))
        for each in islice(trials(), _TRIALS):
            starts = _starts(settings, each)
            if starts != 1:
                raise PluginError(
                    f"Of {_TRIALS} trials, that of seed {each.seed} was run {starts} times. Call "
                    "task(trial, settings, report) once for each that you draw."
                )
            ends = [event for event in events if event.trial == each and event.record]
            if len(ends) != 1:
                raise PluginError(
                    f"Of a trial that ran, {len(ends)} events with a record came. Yield what task "
                    "returns."
                )


def the_events_of_a_trial_come_in_order(subject: Subject) -> None:
    """A trial's events are `started`, its epochs, and then `finished`."""
    with _settings() as settings:
        events = list(_run(subject.make(), quick_task, islice(trials(), _TRIALS), settings))
    for each in islice(trials(), _TRIALS):
        own = [event for event in events if event.trial == each]
        kinds = [event.kind for event in own]
        if kinds != ["started", *["epoch"] * EPOCHS, "finished"]:
            raise PluginError(
                f"A trial of {EPOCHS} epochs was told of as {', '.join(kinds) or 'nothing'}. Yield "
                "what task passes to report, in that order, and then what it returns."
            )
        numbers = [event.epoch.epoch for event in own if event.epoch]
        if numbers != sorted(numbers):
            raise PluginError(f"The epochs of a trial came in the order {numbers}.")


def trials_are_drawn_as_slots_become_free(subject: Subject) -> None:
    """A search gives its next trial by the results so far, and may never end."""
    drawn = []

    def endless() -> Iterator[Trial]:
        for each in trials():
            drawn.append(each)
            if len(drawn) > _AHEAD:
                raise PluginError(
                    f"It drew {_AHEAD:,} trials while at most {_TRIALS} had ended. Call "
                    "next(trials, None) when a slot is free, not list(trials)."
                )
            yield each

    executor, ended = subject.make(), 0
    with _settings() as settings:
        for event in _run(executor, quick_task, endless(), settings):
            ended += event.kind == "finished"
            if ended == _TRIALS:
                executor.stop(0)


def stop_ends_the_run(subject: Subject) -> None:
    """After `stop(0)` the run ends, with whatever is under way."""
    executor = subject.make()
    with _settings() as settings, _when_started(settings, lambda: executor.stop(0)):
        began = time.monotonic()
        for _ in _run(executor, long_task, iter([trial(0)]), settings):
            pass
        if time.monotonic() - began > _SOON_SECONDS:
            raise PluginError(
                f"{_SOON_SECONDS:.0f} seconds after stop(0) a trial was still under way. End its "
                "worker when the grace period is over."
            )


def stop_draws_no_more_trials(subject: Subject) -> None:
    """An executor that was stopped starts nothing, even if it was stopped before its run."""
    executor = subject.make()
    executor.stop(0)
    with _settings() as settings:
        for _ in _run(executor, quick_task, islice(trials(), _TRIALS), settings):
            pass
        ran = sum(_starts(settings, each) for each in islice(trials(), _TRIALS))
    if ran:
        raise PluginError(f"After stop(0) it ran {ran} trials. Draw none once stop was called.")


def cancel_ends_one_trial_and_no_other(subject: Subject) -> None:
    """The trial that is cancelled is reported as lost; the others go on."""
    executor, ends = subject.make(), {}
    with _settings() as settings, _when_started(settings, lambda: executor.cancel(trial(0))):
        for event in _run(executor, long_task, islice(trials(), _TRIALS), settings):
            if event.kind in ("finished", "lost"):
                ends[event.trial.seed] = event
    if 0 not in ends or (ends[0].kind, ends[0].reason) != ("lost", "cancelled"):
        seen = ends[0].kind if 0 in ends else "nothing"
        raise PluginError(
            f"A trial that was cancelled while it ran ended as {seen!r}. Yield Event('lost', "
            "trial, reason='cancelled') for it."
        )
    others = [ends[seed].kind if seed in ends else "nothing" for seed in range(1, _TRIALS)]
    if others != ["finished"] * (_TRIALS - 1):
        raise PluginError(f"While one trial was cancelled, others ended as {', '.join(others)}.")


def no_trials_are_a_run_too(subject: Subject) -> None:
    """A run of which all trials are finished already ends at once."""
    with _settings() as settings:
        events = list(_run(subject.make(), quick_task, iter(()), settings))
    if events:
        raise PluginError(
            f"Without a trial it reports {events[0].kind!r}. Report only trials that were drawn."
        )


def it_runs_again_when_its_run_has_ended(subject: Subject) -> None:
    """The harness comes back with trials that other runs were at, and gave up."""
    executor = subject.make()
    with _settings() as settings:
        for each in (trial(0), trial(2)):
            for _ in _run(executor, quick_task, iter([each]), settings):
                pass
            if _starts(settings, each) != 1:
                raise PluginError(
                    "Called a second time, after its first run had ended, run() did not run the "
                    "trial that it was given. Start each run anew."
                )


def the_process_that_asks_stays_as_it_was(subject: Subject) -> None:
    """An executor changes nothing that the caller's process shares: it may be a notebook."""

    def run() -> None:
        with _settings() as settings:
            list(_run(subject.make(), quick_task, islice(trials(), 1), settings))

    require_untouched(run)


@contextmanager
def _settings() -> Iterator[WorkerSettings]:
    with TemporaryDirectory(prefix="dmlbench-") as folder:
        yield WorkerSettings(Path(folder), device="cpu")


def _run(
    executor: Executor, task: Task, drawn: Iterator[Trial], settings: WorkerSettings
) -> Iterator[Event]:
    for event in executor.run(task, drawn, settings):
        if not isinstance(event, Event):
            raise PluginError(f"It yields {event!r}, where an Event belongs.")
        yield event


def _starts(settings: WorkerSettings, each: Trial) -> int:
    path = note(settings, each)
    return len(path.read_text().splitlines()) if path.exists() else 0


@contextmanager
def _when_started(settings: WorkerSettings, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` from another thread once the trial of seed 0 has started."""
    over = threading.Event()

    def wait() -> None:
        while not over.wait(0.02):
            if note(settings, trial(0)).exists():
                act()
                return

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
