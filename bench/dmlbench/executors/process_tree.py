"""The processes that a worker's plugins start: what they take, and how they end with it."""

import os
import signal
from contextlib import suppress

import psutil


def started_by(pid: int) -> list[psutil.Process]:
    """Return the processes that a process started, and those that these started."""
    try:
        children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return children


def resident_mib(pid: int) -> float:
    """Return the memory of a process and all that it started, in MiB.

    Of the others, only what they don't share counts: a forked child shares most with its parent.
    """
    try:
        total = psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0.0
    for child in started_by(pid):
        with suppress(psutil.Error):
            total += child.memory_full_info().uss
    return float(total / 2**20)


def kill_all(leader: int, others: list[psutil.Process]) -> None:
    """Kill the process group of `leader`, and `others` that may have left it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for process in others:
        with suppress(psutil.Error):  # it is gone; psutil knows a reused id
            process.kill()


def end_this_process() -> None:
    """Kill this process, the leader of its group, and all that it started."""
    others = started_by(os.getpid())
    for process in others:
        with suppress(psutil.Error):
            process.kill()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
