"""How much memory there is, and the most that a trial takes."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


def installed_memory() -> int:
    """Return how many bytes of memory this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def peaks(device: torch.device) -> Iterator[dict[str, float]]:
    """Yield a dictionary that afterwards has the peak memory use inside, in MiB.

    ``peak_memory_mib`` is that of this process, where the system lets its peak be reset (Linux
    does); ``peak_gpu_memory_mib`` is that of tensors on `device`.
    """
    most: dict[str, float] = {}
    resident = _reset_peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    yield most
    if resident:
        status = (_PROCESS / "status").read_text(encoding="utf-8")
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
        most |= {"peak_memory_mib": round(int(found[1]) / 2**10, 1)} if found else {}
    if device.type == "cuda":
        most["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)


def _reset_peak() -> bool:
    """Reset the peak of this process to what it holds now; return whether that is possible."""
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
