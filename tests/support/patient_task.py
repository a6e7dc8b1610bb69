"""A task whose trial waits until it is asked to stop, and ends when it is run again."""

import time
from collections.abc import Callable

from dmlbench import Epoch, Event, Record, Trial, WorkerSettings


def patient_task(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool],
) -> Event:
    """Save nothing but that `trial` was stopped."""
    saved = settings.records / f"{trial.seed}.saved"
    was_stopped = saved.exists()
    report(Event("started", trial))
    report(Event("epoch", trial, epoch=Epoch(epoch=0)))
    if was_stopped:
        report(Event("epoch", trial, epoch=Epoch(epoch=1)))
        return Event("finished", trial, record=Record(id=trial.id, trial=trial, status="finished"))
    while not stop():
        time.sleep(0.05)
    saved.touch()
    return Event("stopped", trial)
