"""Kill runs at seeded moments, start them again until they are done, and look for what was lost.

Each grid of 40 trials on ``digits-closed`` is started again and again, with two workers, and killed
by SIGKILL: the whole group, the driver alone, one worker, a worker while it writes a checkpoint, or
the group while it writes tables. After its last start a grid must be what an undisturbed run
leaves: each record once and as it was first written, the same tables but for times, no other file,
no process. Print a table of it.

    python -m benchmarks.kills --kills 200

To be quick, drivers and workers are forks of a process that has imported everything, and run what
``dmlbench run`` runs, with a checkpoint at every pause. The first grids go by the real command line
(``--command-line``).
"""

import argparse
import gc
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch

import dmlbench
from dmlbench.api.records import Records
from dmlbench.api.running import run_plan
from dmlbench.contracts.executor import WorkerSettings
from dmlbench.contracts.hooks import hookimpl
from dmlbench.executors import inline, local, worker_process
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.checkpoints import write_checkpoint
from dmlbench.training import session

DATASET, LOSSES = "digits-closed", "contrastive,triplet,arcface"
SETTINGS = {"protocol.length.epochs": 1, "protocol.length.steps_per_epoch": 2}
COMMAND = (
    *("run", "--dataset", DATASET, "--loss", LOSSES, "--baseline", "pca", "--jobs", "2"),
    *(word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")),
)
PROCESSES = ("group", "driver", "worker")
TARGETS = (*PROCESSES, "checkpoint", "tables")
WRITING = "checkpointing-"
MOST_OF_TABLES = 4  # in one grid, whose trials are all finished then
ROWS = 4
ENDED_SECONDS = 20.0
COMMAND_LINE_KILLS = 3


# Drivers and workers as forks


class Fork:
    """What `WorkerProcess` needs of ``subprocess.Popen``, of a fork."""

    def __init__(self, target: Callable[[], None]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                target()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once there is one."""
        limit = time.monotonic() + (timeout or 1e9)
        while (code := self.poll()) is None:
            if time.monotonic() > limit:
                raise subprocess.TimeoutExpired("fork", timeout or 0.0)
            time.sleep(0.005)
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)


class ForkedWorker(Fork):
    """Stands for the ``subprocess.Popen`` of a worker, which then has nothing to import."""

    def __init__(
        self, command: object, *, pass_fds: list[int], start_new_session: bool = False, **_: object
    ) -> None:
        (theirs,) = pass_fds

        def start() -> None:
            if start_new_session:
                os.setsid()
            os.closerange(3, theirs)  # or it would not see the end of the driver
            os.closerange(theirs + 1, 1024)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            pipe = Connection(theirs)
            sys.path[:] = pipe.recv()
            worker_process.work(pipe)

        super().__init__(start)


@dataclass
class Starts:
    """Notes the trials that were started."""

    path: Path

    @hookimpl
    def dmlbench_trial_started(self, trial: Trial) -> None:
        """Append its id."""
        with open(self.path, "a") as file:
            file.write(f"{trial.id}\n")


def drive(plan: Plan, folder: Path) -> None:
    """Do what ``dmlbench run`` does, from the plan on, in a session of its own."""
    os.setsid()
    os.chdir(folder)
    worker_process.subprocess = SimpleNamespace(
        Popen=ForkedWorker,
        DEVNULL=subprocess.DEVNULL,
        TimeoutExpired=subprocess.TimeoutExpired,
    )
    mark_checkpoints(folder)
    settings = WorkerSettings(folder / "runs", device="cpu", checkpoint_seconds=0)
    hooks = [Starts(folder / "starts")]
    records = run_plan(plan, settings, local.Local(jobs=2), progress=False, hooks=hooks)
    (folder / "publishing").touch()
    dmlbench.publish(folder / "runs", folder / "leaderboards")
    os._exit(any(record.status == "failed" for record in records))


def mark_checkpoints(folder: Path) -> None:
    """Have checkpoints written at every pause, and a file in `folder` while one is."""

    def write(path: Path, key: dict[str, Any], content: Any) -> None:
        mark = folder / f"{WRITING}{os.getpid()}"
        mark.touch()
        write_checkpoint(path, key, content)
        mark.unlink()

    session._WRITES_PER_TIME = 0
    session.write_checkpoint = write


# Kills


Start = Callable[[Path], Fork | subprocess.Popen[bytes]]


@dataclass
class Grid:
    """One grid, from its first start to its last."""

    folder: Path
    trials: int
    start: Start
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    finished: dict[Path, tuple[int, int]] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)

    def kill_once(self, target: str, seconds: float) -> None:
        """Start it, and kill `target` after at most about `seconds`; finished runs are let be."""
        self._forget()
        process = self.start(self.folder)
        if target == "tables":
            self._wait(process, (self.folder / "publishing").exists)
            delay = self.chance.random() * 0.5
        else:
            have = len(self.finished)
            self._wait(process, lambda: len(self._now()) > have or have > self.trials - 5)
            delay = self.chance.random() * seconds
        self._wait(process, lambda: False, delay)
        if target == "checkpoint":
            self._wait(process, lambda: bool(self._writers()), pause=0)
            time.sleep(self.chance.random() * 0.002)
        if process.poll() is None and self._kill(process, target):
            self.kills[target] += 1
        process.wait()
        self._wait_for_end()
        self._look()

    def finish(self) -> None:
        """Start it until all trials are finished."""
        self._forget()
        process = self.start(self.folder)
        code = process.wait()
        self._wait_for_end()
        self._look()
        if code:
            self.faults.append(f"the last start ended with {code}")

    def _forget(self) -> None:
        for path in (self.folder / "publishing", self.folder / "starts", *self._marks()):
            path.unlink(missing_ok=True)
        self._done_before = {path.stem.rpartition("-")[2] for path in self.finished}

    def _kill(self, process: Fork | subprocess.Popen[bytes], target: str) -> bool:
        self.seen = workers_of(process.pid)
        victims = [process.pid, *self.seen]
        if target == "driver":
            victims = [process.pid]
        elif target == "checkpoint":
            victims = self._writers()
        elif target == "worker":
            victims = self.chance.sample(self.seen, min(1, len(self.seen)))
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(victims)

    def _wait(
        self,
        process: Fork | subprocess.Popen[bytes],
        condition: Callable[[], bool],
        seconds: float = 600.0,
        pause: float = 0.01,
    ) -> None:
        limit = time.monotonic() + seconds
        while not condition() and process.poll() is None and time.monotonic() < limit:
            time.sleep(pause)

    def _marks(self) -> list[Path]:
        return list(self.folder.glob(f"{WRITING}*"))

    def _writers(self) -> list[int]:
        """Return the processes that write a checkpoint right now."""
        return [int(path.name.removeprefix(WRITING)) for path in self._marks()]

    def _wait_for_end(self) -> None:
        limit = time.monotonic() + ENDED_SECONDS
        while (left := [pid for pid in self.seen if is_there(pid)]) and time.monotonic() < limit:
            time.sleep(0.02)
        for pid in left:
            self.faults.append(f"process {pid} outlived its run by {ENDED_SECONDS:.0f} s")
            os.kill(pid, signal.SIGKILL)
        self.seen = []

    def _now(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for folder, _, names in os.walk(self.folder / "runs"):  # where claims come and go
            for path in (Path(folder, name) for name in names if name.endswith(".json")):
                found[path] = (path.stat().st_ino, path.stat().st_mtime_ns)
        return found

    def _look(self) -> None:
        """Compare what is there with what was there before."""
        starts = self.folder / "starts"
        started = starts.read_text().split() if starts.exists() else []
        for trial in sorted(self._done_before & set(started)):
            self.faults.append(f"{trial} was run again")
        now = self._now()
        for path, stamp in self.finished.items():
            if now.get(path) != stamp:
                self.faults.append(f"{path.name} was lost or written again")
        if not now:
            return
        records = dmlbench.load_records(self.folder / "runs")
        self.faults += [f"torn: {error}" for error in records.damaged]
        done = {record.id for record in records if record.status == "finished"}
        self.finished = {p: s for p, s in now.items() if p.stem.rpartition("-")[2] in done}


def workers_of(driver: int) -> list[int]:
    """Return the processes that a driver has started and that have not ended."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if _state(pid)[1] == str(driver) and is_there(pid)]


def is_there(pid: int) -> bool:
    """Return whether a process is there and has not ended."""
    return _state(pid)[0] not in ("", "Z")


def _state(pid: int) -> tuple[str, str]:
    """Return the state and the parent of a process; empty texts if there is none."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "", ""
    return state, parent


# What is there at the end


def bare(record: Record) -> str:
    """Return a record without what differs from run to run."""
    return record.model_copy(update={"measurements": {}}).to_json()


def compare(folder: Path, undisturbed: Path) -> list[str]:
    """Return how a finished grid differs from an undisturbed one."""
    faults = []
    names = [{str(p.relative_to(f)) for p in f.rglob("*")} for f in (folder, undisturbed)]
    ours, theirs = (
        {name for name in found - {"starts", "publishing"} if not name.startswith(WRITING)}
        for found in names
    )
    faults += [f"left behind: {name}" for name in sorted(ours - theirs)]
    faults += [f"missing: {name}" for name in sorted(theirs - ours)]
    both = [dmlbench.load_records(f / "runs") for f in (folder, undisturbed)]
    if [*map(bare, both[0])] != [*map(bare, both[1])]:
        faults.append("records differ in more than measurements")
    with TemporaryDirectory() as scratch:
        tables = []
        for name, records in zip(("ours", "theirs", "again"), (*both, both[0]), strict=True):
            timeless = [
                record if name == "again" else record.model_copy(update={"measurements": {}})
                for record in records
            ]
            dmlbench.publish(timeless, Path(scratch, name))
            tables.append(contents(Path(scratch, name)))
        if tables[0] != tables[1]:
            faults.append("tables differ in more than times")
        if tables[2] != contents(folder / "leaderboards"):
            faults.append("the tables are not those of the records")
    return faults


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def by_command(seeds: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start the grid as a user does."""
    return subprocess.Popen(
        [sys.executable, "-m", "dmlbench", *COMMAND, "--seeds", str(seeds)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def make_plan(seeds: int) -> Plan:
    """Return a plan of four rows, for a process that forks."""
    torch.set_num_threads(1)
    return dmlbench.plan(
        DATASET,
        losses=LOSSES.split(","),
        baselines="pca",
        seeds=seeds,
        settings=SETTINGS,
        progress=False,
    )


def run_here(plan: Plan, folder: Path) -> Records:
    """Run the plan undisturbed in this process, which then has imported everything."""
    settings = WorkerSettings(folder / "runs", device="cpu")
    return run_plan(plan, settings, inline.Inline(), progress=False)


def run_grid(
    number: int, folder: Path, trials: int, kills: int, start: Start, targets: Sequence[str]
) -> Grid:
    """Kill a grid up to `kills` times, and let it finish."""
    grid = Grid(folder, trials, start, random.Random(number))
    folder.mkdir()
    for _ in range(3 * kills):
        if sum(grid.kills.values()) == kills:
            break
        is_done = len(grid.finished) == trials
        if grid.kills["tables"] == MOST_OF_TABLES:
            break
        target = "tables" if is_done else grid.chance.choice(targets)
        grid.kill_once(target, seconds=0.1)
    grid.finish()
    return grid


def main() -> None:
    """Print what was killed and what was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--per-grid", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no grid later")
    parser.add_argument("--command-line", type=int, default=1, metavar="GRIDS")
    parser.add_argument("--seeds", type=int, default=10, help="four trials each")
    options = parser.parse_args()
    plan, trials = make_plan(options.seeds), ROWS * options.seeds

    def forked(folder: Path) -> Fork:
        return Fork(lambda: drive(plan, folder))

    kills: Counter[str] = Counter()
    faults: list[str] = []
    began, number = time.monotonic(), 0
    with TemporaryDirectory() as scratch:
        undisturbed = Path(scratch, "undisturbed")
        dmlbench.publish(run_here(plan, undisturbed), undisturbed / "leaderboards")
        gc.freeze()  # forks copy less of what is there
        limit = began + 60 * options.minutes
        while sum(kills.values()) < options.kills and time.monotonic() < limit:
            number += 1
            most = min(options.per_grid, options.kills - sum(kills.values()))
            if number <= options.command_line:
                most = min(most, COMMAND_LINE_KILLS)
                start: Start = partial(by_command, options.seeds)
                targets = PROCESSES
            else:
                start, targets = forked, (*PROCESSES, "checkpoint")
            grid = run_grid(number, Path(scratch, str(number)), trials, most, start, targets)
            kills += grid.kills
            faults += [f"grid {number}: {fault}" for fault in grid.faults]
            faults += [f"grid {number}: {f}" for f in compare(grid.folder, undisturbed)]
            print(f"grid {number}: {dict(grid.kills)}, {len(faults)} faults", file=sys.stderr)
    by = f"{min(number, options.command_line)} of them by the command line"
    print(f"{number} grids of {trials} trials, {by}: {sum(kills.values())} kills, ", end="")
    print(f"{time.monotonic() - began:.0f} s\n")
    print("| killed | times |\n|---|---|")
    for target in TARGETS:
        print(f"| {target} | {kills[target]} |")
    print(f"\n{len(faults)} faults")
    for fault in faults:
        print(f"- {fault}")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
