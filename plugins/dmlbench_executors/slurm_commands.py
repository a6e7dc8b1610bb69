"""What Slurm's own commands say of its partitions and jobs, and what they are told to end."""

import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass

from dmlbench import ConfigError, nearest

_SECONDS = 120.0
"""How long a command may take: a busy controller needs a minute."""

_END_SECONDS = 5.0
"""How long ended jobs are waited for."""

_UNDER_WAY = frozenset(
    {
        "COMPLETING",
        "CONFIGURING",
        "PENDING",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESIZING",
        "RESV_DEL_HOLD",
        "RUNNING",
        "SIGNALING",
        "SPECIAL_EXIT",
        "STAGE_OUT",
        "STOPPED",
        "SUSPENDED",
    }
)
"""States of jobs that have not ended, or come back."""

_MEANINGS = {
    "CANCELLED": "was cancelled",
    "NODE_FAIL": "ended, because its node failed",
    "OUT_OF_MEMORY": "ran out of memory",
    "PREEMPTED": "had to make room for another job",
    "TIMEOUT": "reached its time limit",
}
_WAYS_OUT = {
    "OUT_OF_MEMORY": " Give it more with --set executor.mem_gb=GB.",
    "TIMEOUT": " Give it more with --set executor.timeout_min=MINUTES.",
}


@dataclass(frozen=True)
class State:
    """What Slurm says of a job.

    Attributes:
        name: such as RUNNING or OUT_OF_MEMORY; empty for a job that it no longer knows.
        detail: why, such as NonZeroExitCode; may be empty.
    """

    name: str
    detail: str = ""

    @property
    def is_over(self) -> bool:
        """Return whether the job has ended and does not come back."""
        return self.name not in _UNDER_WAY

    @property
    def meaning(self) -> str:
        """Return what became of the job, as the rest of a sentence that begins with it."""
        if not self.name:
            return "is not known to Slurm any more."
        detail = f", {self.detail}" if self.detail not in ("", "None") else ""
        ending = _MEANINGS.get(self.name, "ended")
        return f"{ending} ({self.name}{detail}).{_WAYS_OUT.get(self.name, '')}"


def minutes_allowed(partition: str) -> int | None:
    """Return the time limit of `partition`, in minutes; None if it has none.

    Args:
        partition: a name, or names with commas; empty for the default one.

    Raises:
        ConfigError: Slurm does not answer, or there is no such partition.
    """
    done = _run("sinfo", "--noheader", "--format=%P|%l")
    if done.returncode != 0:
        raise ConfigError(f"Slurm does not answer: {_last_line(done.stderr)} Try again later.")
    limits = dict(line.strip().split("|") for line in done.stdout.splitlines())
    default = [name for name in limits if name.endswith("*")]
    limits = {name.rstrip("*"): limit for name, limit in limits.items()}
    if not partition and not default:
        raise ConfigError(
            "No partition of the cluster is the default. Choose one with --set "
            f"executor.partition=NAME.{nearest('', limits)}"
        )
    names = partition.split(",") if partition else [default[0].rstrip("*")]
    for name in names:
        if name not in limits:
            raise ConfigError(f"The cluster has no partition {name!r}.{nearest(name, limits)}")
    found = [_minutes(limits[name]) for name in names]
    return min((limit for limit in found if limit is not None), default=None)


def _minutes(limit: str) -> int | None:
    """Return the minutes of ``[days-][hours:]minutes:seconds``; None for ``infinite``."""
    days, _, clock = limit.rpartition("-")
    if not re.fullmatch(r"[\d:]+", clock):
        return None
    hours, minutes, _ = (["0", "0", *clock.split(":")])[-3:]
    return 24 * 60 * int(days or 0) + 60 * int(hours) + int(minutes)


def states(jobs: Iterable[str]) -> dict[str, State]:
    """Return what Slurm says of `jobs`, by id; nothing while its controller can't be reached."""
    ids = sorted(set(jobs))
    if not ids:
        return {}
    masters = ",".join(sorted({job.partition("_")[0] for job in ids}))
    done = _run(
        "squeue", "--noheader", "--array", "--states=all", f"--jobs={masters}", "--format=%i|%T|%r"
    )
    if done.returncode != 0 and "Invalid job id" not in done.stderr:
        return {}
    found = {}
    for line in done.stdout.splitlines():
        job, state, detail = line.strip().split("|", 2)
        found[job] = State(state, detail)
    return {job: found.get(job) or _accounted(job) for job in ids}


def _accounted(job: str) -> State:
    """Return what the accounting says of a job that the controller has forgotten, if there is one.

    The controller forgets a job some minutes after its end (MinJobAge).
    """
    done = _run(
        "sacct", "--allocations", "--noheader", "--parsable2", "--format=State", "--jobs", job
    )
    words = done.stdout.split()
    return State(words[0] if words else "")


def cancel_pending(jobs: Iterable[str]) -> None:
    """Take those of `jobs` that have not started out of the queue."""
    _scancel(["--state=PENDING"], jobs)


def end(jobs: Iterable[str]) -> None:
    """End `jobs` at once, and wait for that, but not long.

    Slurm gives a job that is cancelled half a minute, in which it can't be killed. So jobs are
    killed first; again and again, as a signal to one that is just about to start is lost. Now and
    then Slurm misses one nevertheless. Then it ends by itself, as the orders of its run say.
    """
    left = list(jobs)
    limit = time.monotonic() + _END_SECONDS
    while left and time.monotonic() < limit:
        cancel_pending(left)
        _scancel(["--signal=KILL", "--full"], left)
        time.sleep(_END_SECONDS / 20)
        left = [job for job, state in states(left).items() if not state.is_over]
    _scancel([], left)


def _scancel(options: list[str], jobs: Iterable[str]) -> None:
    if ids := list(jobs):
        _run("scancel", "--quiet", *options, *ids)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, -1, "", f"{command[0]}: {error}")


def _last_line(text: str) -> str:
    """Return the last line of what a command said, as a sentence."""
    line = (text.strip().splitlines() or ["it says nothing"])[-1]
    return line.rstrip(".") + "."
