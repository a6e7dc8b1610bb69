"""Contenders take turns, so that drift and other load affect all of them alike."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import active_children
from pathlib import Path
from statistics import median

Run = Callable[[], int]
"""Does something and returns how often: so many images, so many steps."""


@dataclass(frozen=True)
class Turn:
    """What a contender took each time: seconds that passed, and seconds that all cores computed."""

    passed: float
    computed: float


def in_turns(contenders: dict[str, Run], repeats: int) -> dict[str, list[Turn]]:
    """Return what the contenders took in each turn; all run once before anything counts."""
    found: dict[str, list[Turn]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, run in contenders.items():
            start, computed = time.perf_counter(), computed_seconds()
            count = run()
            took = time.perf_counter() - start, computed_seconds() - computed
            print(f"{name}: {took[0]:.2f} s, {took[1]:.2f} s computed", file=sys.stderr, flush=True)
            if turn:
                found[name].append(Turn(*(seconds / count for seconds in took)))
    return found


def computed_seconds() -> float:
    """Return how long this process and its workers, dead or alive, have computed."""
    ticks = 0
    for worker in active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text(encoding="ascii").split()
        ticks += int(fields[13]) + int(fields[14])
    return sum(os.times()[:4]) + ticks / os.sysconf("SC_CLK_TCK")


def over(ones: list[Turn], others: list[Turn], what: str) -> float:
    """Return the median ratio of a turn."""
    return median(getattr(a, what) / getattr(b, what) for a, b in zip(ones, others, strict=True))


def typical(turns: list[Turn], what: str) -> float:
    """Return the median over the turns."""
    return median(getattr(turn, what) for turn in turns)


def describe_machine(packages: tuple[str, ...], load: float) -> str:
    """Return processor, versions and how much else ran, in sentences."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    processor = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{processor}, {len(os.sched_getaffinity(0))} cores; {versions}. On average, {load:.1f} "
        "other processes were running when it started. Nothing ran on a GPU."
    )
