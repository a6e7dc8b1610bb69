"""A task that takes its process down and leaves a child behind."""

import os
import time
from collections.abc import Callable

from dmlbench import Event, Trial, WorkerSettings


def forking_task(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool],
) -> Event:
    """Leave a child that holds everything open for a while, and die."""
    if os.fork() == 0:
        os.close(1)
        os.close(2)
        time.sleep(20)
    os._exit(5)
