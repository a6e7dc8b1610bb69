"""Worker processes, as the system sees them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def workers() -> set[int]:
    """Return the ids of this process's workers, and of its children for strangers' code."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = (path.parent / "cmdline").read_text()
        except OSError:  # it ended meanwhile
            continue
        ours = "dmlbench.executors" in command or "dmlbench.components" in command
        if parent == os.getpid() and ours:
            found.add(int(path.parent.name))
    return found


def is_running(pid: int) -> bool:
    """Return whether a process is there and not a zombie that nobody has collected yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
