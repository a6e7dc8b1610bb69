"""How much memory there is, the most that a trial takes, and what it keeps."""

import ctypes
import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")

MUCH = 256 << 20
"""Bytes that a trial may keep beside its data: modules that it imports first take up to 150 MiB."""


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


def held_memory() -> int:
    """Return how many bytes of this process are its own: not of files, not shared.

    Where the system does not tell (only Linux does), that is 0.
    """
    try:
        numbers = (_PROCESS / "statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return (int(numbers[1]) - int(numbers[2])) * os.sysconf("SC_PAGE_SIZE")


def keeps_much(before: int) -> bool:
    """Return whether this process still holds much more of its own than `before`, in bytes.

    What only waits to be collected, or to be returned to the system, does not count.
    """
    if held_memory() - before <= MUCH:
        return False
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)
    return held_memory() - before > MUCH


def _reset_peak() -> bool:
    """Reset the peak of this process to what it holds now; return whether that is possible."""
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
