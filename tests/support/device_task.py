"""A task that tells where it would compute."""

from collections.abc import Callable

from dmlbench import Event, Trial, WorkerSettings
from dmlbench.contracts.executor import never


def device_task(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool] = never,
) -> Event:
    return Event("finished", trial, reason=settings.device)
