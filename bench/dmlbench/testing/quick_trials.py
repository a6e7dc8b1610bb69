"""Trials that train nothing, for checks of executors."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dmlbench.contracts.executor import Event, WorkerSettings, never
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Part, Trial

EPOCHS = 2
_LONG_SECONDS = 60.0
"""How long a trial of `long_task` takes unless somebody ends it."""


def trials() -> Iterator[Trial]:
    """Yield trials without end; they differ by their seed."""
    seed = 0
    while True:
        yield trial(seed)
        seed += 1


def trial(seed: int) -> Trial:
    """Return the trial of a seed."""
    part = Part(reference="nothing", name="nothing")
    return Trial(
        dataset=part,
        fingerprint="0" * 64,
        protocol=load_protocol("small"),
        parts={"baseline": part},
        seed=seed,
    )


def note(settings: WorkerSettings, trial: Trial) -> Path:
    """Return the file to which a task adds a line when it starts `trial`."""
    return settings.records / f"{trial.seed}.started"


def quick_task(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool] = never,
) -> Event:
    """Report `trial` as a task does; it is over at once."""
    return _run(trial, settings, report, EPOCHS, 0)


def long_task(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool] = never,
) -> Event:
    """Report `trial`; that of seed 0 takes a minute, even if asked to stop, the others nothing."""
    if trial.seed != 0:
        return quick_task(trial, settings, report)
    return _run(trial, settings, report, int(_LONG_SECONDS / 0.05), 0.05)


def _run(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    epochs: int,
    seconds: float,
) -> Event:
    with note(settings, trial).open("a") as file:
        file.write("started\n")
    report(Event("started", trial))
    for number in range(epochs):
        time.sleep(seconds)
        report(Event("epoch", trial, epoch=Epoch(epoch=number)))
    return Event("finished", trial, record=Record(id=trial.id, trial=trial, status="finished"))
