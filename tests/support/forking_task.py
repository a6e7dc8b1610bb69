"""Tasks that leave a child behind: one dies, one does not want to end."""

import os
import signal
import subprocess
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


def stubborn_task(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool],
) -> Event:
    """Start a child in a session of its own, report its id as a reason, and ignore all signals."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    report(Event("started", trial, reason=str(child.pid)))
    while True:
        time.sleep(1)
