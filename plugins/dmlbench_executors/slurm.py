"""Trials as jobs of a Slurm cluster, by submitit: arrays, requeuing, pre-emption.

A job runs one or several trials, in worker processes of its node, as the executor ``local`` does.
It tells what happens in a file beside the records. So once it is submitted, it needs its run no
more: if that is killed, jobs go on and write their records. A new run of the same command waits for
the trials that jobs are at, and submits the others again. Whichever job comes first claims a trial;
one that comes later leaves it alone.
"""

import math
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Literal

from dmlbench import ConfigError, Event, Executor, Local, Task, Trial, WorkerSettings
from dmlbench_executors.slurm_checks import check_commands, check_folders, check_submitit
from dmlbench_executors.slurm_clusters import CLUSTERS, Cluster, SlurmCluster
from dmlbench_executors.slurm_commands import minutes_allowed
from dmlbench_executors.slurm_files import Lines
from dmlbench_executors.slurm_job import Job
from dmlbench_executors.slurm_under_way import ARRAY_TASKS, UnderWay

_FOLDER = ".slurm"
"""Beside the records: a folder for each run, with scripts, logs, and what is told of trials."""
_DAY_MINUTES = 24 * 60
_TICK_SECONDS = 0.5
"""How often the files that jobs write are looked at."""
_REPORT_SECONDS = 3.0
"""How long it may take from what a worker says to what is read here."""
_HAND_OVER_SECONDS = 10.0
"""How long it may take to requeue a job whose trials are saved."""


class Slurm(Executor):
    """Jobs of a Slurm cluster, submitted by submitit.

    Each trial computes on one GPU if jobs have some, else on one thread of a CPU. A job runs as
    many side by side as it has GPUs, or CPUs without them. Epochs are told of as they end. Jobs
    that have to make room or reach their time limit save their trials and are requeued.

    Args:
        partition: of the cluster; empty: its default one.
        account: that is charged; empty: the user's default one.
        gpus_per_node: GPUs of a job.
        cpus_per_task: CPUs of a job; None: one for each trial side by side.
        mem_gb: memory of a job; None: what the cluster gives.
        timeout_min: time limit of a job; None: the partition's, or a day.
        jobs: how many are in the queue or run at one time.
        trials_per_job: how many a job runs; None: as many as side by side.
        max_timeouts: time limits that a job may reach, and go on after, before its trials are lost.
        signal_delay_s: seconds before its time limit at which a job saves its trials.
        setup: shell commands before the job's own, such as ``module load cuda``.
        sbatch: further options of sbatch, such as ``--qos=long --exclude=node7``.
        check_shared: whether folders that only this machine sees are refused.
        isolate: whether every trial gets a process of its own.
        trial_timeout: seconds after which a trial fails; None: never.
        trial_memory: MiB of memory over which a trial fails; None: no limit.
        cluster: of submitit: slurm; or, to try things out, local (jobs are processes of this
            machine) or debug (they run in this process, one after the other).
    """

    def __init__(
        self,
        *,
        partition: str = "",
        account: str = "",
        gpus_per_node: int | None = None,
        cpus_per_task: int | None = None,
        mem_gb: float | None = None,
        timeout_min: int | None = None,
        jobs: int = 100,
        trials_per_job: int | None = None,
        max_timeouts: int = 20,
        signal_delay_s: int = 90,
        setup: str = "",
        sbatch: str = "",
        check_shared: bool = True,
        isolate: bool = False,
        trial_timeout: float | None = None,
        trial_memory: float | None = None,
        cluster: Literal["slurm", "local", "debug"] = "slurm",
    ) -> None:
        counts = {
            "gpus_per_node": gpus_per_node,
            "cpus_per_task": cpus_per_task,
            "mem_gb": mem_gb,
            "timeout_min": timeout_min,
            "jobs": jobs,
            "trials_per_job": trials_per_job,
            "signal_delay_s": signal_delay_s,
        }
        for name, value in counts.items():
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"executor.{name}={value}: it must be above 0.")
        self._limits = {
            "isolate": isolate,
            "trial_timeout": trial_timeout,
            "trial_memory": trial_memory,
        }
        Local(jobs=1, **self._limits)  # type: ignore[arg-type]  # it checks them
        check_submitit()
        limit = None
        if cluster == "slurm":
            check_commands()
            limit = minutes_allowed(partition)
        if limit is not None and timeout_min is not None and timeout_min > limit:
            raise ConfigError(
                f"executor.timeout_min={timeout_min}: the partition allows {limit} minutes."
            )
        self.jobs = jobs
        self.side_by_side = gpus_per_node or cpus_per_task or 1
        self.trials_per_job = trials_per_job or self.side_by_side
        self._gpus = gpus_per_node or 0
        self._partition = partition
        self._max_timeouts = max_timeouts
        self._signal_delay = signal_delay_s
        self._check_shared = check_shared and cluster == "slurm"
        self._kind = cluster
        minutes = timeout_min or min(limit or _DAY_MINUTES, _DAY_MINUTES)
        if cluster == "slurm":
            cpus = cpus_per_task or self.side_by_side
            self._parameters = {
                "job_name": "dmlbench",
                "time": minutes,
                "partition": partition or None,
                "account": account or None,
                "gpus_per_node": gpus_per_node,
                "cpus_per_task": cpus,
                "mem": f"{math.ceil(mem_gb * 1024)}M" if mem_gb else None,
                "signal_delay_s": signal_delay_s,
                "array_parallelism": ARRAY_TASKS,
                "setup": [setup] if setup else None,
                "srun_args": [f"--cpus-per-task={cpus}"],  # srun takes it from nobody else
                "wckey": None,
                "additional_parameters": {"requeue": True, **_sbatch_options(sbatch)},
            }
        else:
            self._parameters = {
                "timeout_min": minutes,
                "gpus_per_node": self._gpus,
                "signal_delay_s": signal_delay_s,
                **({"setup": [setup]} if setup else {}),
            }
        self._deadline = math.inf
        self._cancelled: set[str] = set()
        self._orders: Lines | None = None

    def where(self, settings: WorkerSettings) -> str:
        """Return the number of jobs and of trials in each."""
        partition = f" in partition {self._partition}" if self._partition else ""
        kind = f"Slurm jobs{partition}" if self._kind == "slurm" else "jobs on this machine"
        each = "a trial" if self.trials_per_job == 1 else f"{self.trials_per_job} trials"
        return f"up to {self.jobs} {kind} at one time, each of {each}"

    def trials_at_once(self, settings: WorkerSettings) -> int:
        """Return how many trials the jobs run side by side, once Slurm has started all of them."""
        return self.jobs * self.side_by_side

    def describe(self, settings: WorkerSettings, trials: int) -> str:
        """Return the script that is handed to sbatch first."""
        self._check(settings)
        if self._kind != "slurm" or trials == 0:
            return ""
        jobs = min(self.jobs, math.ceil(trials / self.trials_per_job), ARRAY_TASKS)
        cluster = self._cluster(settings.records / _FOLDER / "RUN")
        assert isinstance(cluster, SlurmCluster)
        return cluster.script(jobs)

    def _check(self, settings: WorkerSettings) -> None:
        """Check that jobs can do what the run asks for.

        Raises:
            ConfigError: they can't.
        """
        if settings.devices_per_trial > 1:
            raise ConfigError(
                f"--devices-per-trial {settings.devices_per_trial}: a trial on Slurm has one GPU. "
                "Start the run itself in a job that has several, with --executor local."
            )
        if self._check_shared:
            check_folders(settings)

    def stop(self, grace: float) -> None:
        """Take back jobs that wait; ask those under way to save their trials within `grace`."""
        self._deadline = time.monotonic() + grace
        self._order(f"stop {max(grace - _REPORT_SECONDS, 0.0)}")

    def cancel(self, trial: Trial) -> None:
        """End `trial` in its job, whose others go on."""
        self._cancelled.add(trial.id)
        self._order(f"cancel {trial.id}")

    def _order(self, line: str) -> None:
        if self._orders is not None:
            with suppress(OSError):  # the folder is gone: the run has just ended
                self._orders.append(line)

    def run(self, task: Task, trials: Iterator[Trial], settings: WorkerSettings) -> Iterator[Event]:
        """Submit `trials` as there is room for jobs, and yield what these tell."""
        self._check(settings)
        folder = _run_folder(settings.records)
        self._orders = Lines(folder / "orders")
        self._orders.create()
        for trial in self._cancelled:
            self._order(f"cancel {trial}")
        under_way = UnderWay(self._cluster(folder))
        try:
            yield from self._turns(task, trials, settings, folder, under_way)
        finally:
            self._order("stop 0")
            self._orders = None
            under_way.end()
            if not under_way.lost:
                _remove(folder)

    def _turns(
        self,
        task: Task,
        trials: Iterator[Trial],
        settings: WorkerSettings,
        folder: Path,
        under_way: UnderWay,
    ) -> Iterator[Event]:
        while time.monotonic() < self._deadline:
            stopping = self._deadline < math.inf
            while not stopping and (room := self.jobs - len(under_way)) > 0:
                drawn = list(islice(trials, room * self.trials_per_job))
                if not drawn:
                    break
                for start in range(0, len(drawn), self.trials_per_job):
                    part = tuple(drawn[start : start + self.trials_per_job])
                    under_way.add(self._job(task, part, settings, folder))
            if not len(under_way):
                return
            if not stopping:
                under_way.submit()
            yield from under_way.news(self._cancelled, stopping=stopping)
            time.sleep(_TICK_SECONDS)

    def _cluster(self, folder: Path) -> Cluster:
        options = {name: value for name, value in self._parameters.items() if value is not None}
        if self._kind == "slurm":
            options["wckey"] = None  # else submitit gives one
        return CLUSTERS[self._kind](folder, options, self._max_timeouts)

    def _job(
        self, task: Task, trials: tuple[Trial, ...], settings: WorkerSettings, folder: Path
    ) -> Job:
        device = settings.device
        if self._gpus and device in ("auto", "cuda"):
            devices = tuple(f"cuda:{number}" for number in range(self._gpus))
        else:
            devices = (device,) * self.side_by_side
        handle, events = tempfile.mkstemp(".events", dir=folder)
        with open(handle, "wb"):
            pass
        return Job(
            f"{task.__module__}:{task.__name__}",  # type: ignore[attr-defined]  # it is a function
            trials,
            settings,
            devices=devices[: len(trials)],
            limits=self._limits,
            events=Path(events),
            orders=folder / "orders",
            cluster=self._kind,
            grace=max(self._signal_delay - _HAND_OVER_SECONDS, 1.0),
            path=tuple(sys.path),
        )


def _run_folder(records: Path) -> Path:
    """Make a folder for the files of a run, which nobody else may write to: jobs unpickle some."""
    place = records / _FOLDER
    place.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=place))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # other runs have theirs beside it
        folder.parent.rmdir()


def _sbatch_options(text: str) -> dict[str, str | bool]:
    """Return options of sbatch by name, from how they are typed: ``--qos=long --exclusive``."""
    options: dict[str, str | bool] = {}
    for word in shlex.split(text):
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise ConfigError(
                f"executor.sbatch={text!r}: {word!r} is not of the form --name=value or --name."
            )
        options[name] = value if equals else True
    return options
