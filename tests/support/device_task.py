"""A task that tells where it would compute, and of which GPUs."""

import os
from collections.abc import Callable

from dmlbench import Event, Trial, WorkerSettings
from dmlbench.contracts.executor import never


def device_task(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool] = never,
) -> Event:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    reason = " of ".join(filter(None, (settings.device, visible)))
    return Event("finished", trial, reason=reason)
