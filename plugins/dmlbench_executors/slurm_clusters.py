"""The three clusters of submitit: how jobs are submitted to each, watched and ended.

``slurm`` is the real one. ``local`` runs each job as a process of this machine, and ``debug`` in
the process that asks, one after the other: to try things out.
"""

import shlex
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlbench_executors import slurm_commands
from dmlbench_executors.slurm_commands import State
from dmlbench_executors.slurm_job import Job

if TYPE_CHECKING:
    import submitit

_PYTHON = f"{shlex.quote(sys.executable)} -P"
"""Without -P, a file in the folder where the run was started could stand in for a library."""

_KILLED_SECONDS = 5.0
"""How long a process of the local cluster may take to end once it is told to."""
_IDLE_SECONDS = 60.0
"""How long it may take to end by itself when all of its trials have ended."""


class Cluster(ABC):
    """Where jobs run.

    Args:
        folder: of submitit's files; seen by all machines.
        options: parameters of submitit, as it calls them for this cluster.
        requeues: time limits that a job may reach before it is given up.

    Attributes:
        patience: how often it may be asked for states; 1 for a real cluster.
    """

    patience = 0.02

    def __init__(self, folder: Path, options: Mapping[str, Any], requeues: int) -> None:
        self.folder = folder
        self._submitit = self._executor(requeues)
        self._submitit.update_parameters(**options)

    @abstractmethod
    def _executor(self, requeues: int) -> "submitit.core.core.Executor": ...

    def submit(self, jobs: Sequence[Job]) -> "list[submitit.Job[None]]":
        """Submit `jobs`, as an array if there are several.

        Raises:
            submitit.core.utils.FailedJobError: the cluster refuses them, and why.
        """
        return self._submitit.submit_array(jobs)

    @abstractmethod
    def states(self, jobs: "Sequence[submitit.Job[None]]") -> dict[str, State]:
        """Return the state of `jobs` by id, of those where that is known."""

    def cancel_pending(self, jobs: "Sequence[submitit.Job[None]]") -> None:  # noqa: B027
        """Take those of `jobs` that have not started out of the queue, if there is one."""

    @abstractmethod
    def end(self, jobs: "Sequence[submitit.Job[None]]") -> None:
        """End `jobs` at once."""

    def close(self) -> None:  # noqa: B027
        """Wait for processes of this machine whose trials have ended, if there are any."""


class SlurmCluster(Cluster):
    """A cluster with Slurm."""

    patience = 1.0

    def _executor(self, requeues: int) -> "submitit.core.core.Executor":
        from submitit import SlurmExecutor

        return SlurmExecutor(self.folder, max_num_timeout=requeues, python=_PYTHON)

    def script(self, jobs: int) -> str:
        """Return the script that is handed to ``sbatch`` for an array of so many `jobs`."""
        from submitit import SlurmExecutor

        executor = self._submitit
        assert isinstance(executor, SlurmExecutor)
        if jobs > 1:  # as submitit does it
            executor.parameters["map_count"] = jobs
        return executor._make_submission_file_text(executor._submitit_command_str, "")

    def states(self, jobs: "Sequence[submitit.Job[None]]") -> dict[str, State]:
        """Return what Slurm says."""
        return slurm_commands.states(job.job_id for job in jobs)

    def cancel_pending(self, jobs: "Sequence[submitit.Job[None]]") -> None:
        """Have Slurm forget those that wait."""
        slurm_commands.cancel_pending(job.job_id for job in jobs)

    def end(self, jobs: "Sequence[submitit.Job[None]]") -> None:
        """Have Slurm kill them."""
        slurm_commands.end(job.job_id for job in jobs)


class LocalCluster(Cluster):
    """Processes of this machine."""

    def submit(self, jobs: Sequence[Job]) -> "list[submitit.Job[None]]":
        """Start a process for each of `jobs`."""
        started = super().submit(jobs)
        self._started += started
        return started

    def _executor(self, requeues: int) -> "submitit.core.core.Executor":
        from submitit import LocalExecutor

        self._started: list[submitit.Job[None]] = []
        return LocalExecutor(self.folder, max_num_timeout=requeues, python=_PYTHON)

    def states(self, jobs: "Sequence[submitit.Job[None]]") -> dict[str, State]:
        """Return whether the processes are there."""
        return {job.job_id: State("FAILED" if job.done() else "RUNNING") for job in jobs}

    def end(self, jobs: "Sequence[submitit.Job[None]]") -> None:
        """End the processes, and wait for that."""
        for job in jobs:
            job.cancel()
        _wait(jobs, _KILLED_SECONDS)

    def close(self) -> None:
        """Wait for the processes, and end those that don't end by themselves."""
        _wait(self._started, _IDLE_SECONDS)
        self.end([job for job in self._started if not job.done()])


def _wait(jobs: "Sequence[submitit.Job[None]]", seconds: float) -> None:
    limit = time.monotonic() + seconds
    for job in jobs:
        while not job.done() and time.monotonic() < limit:
            time.sleep(0.05)


class DebugCluster(Cluster):
    """This process, in which a job runs when its state is asked for."""

    def _executor(self, requeues: int) -> "submitit.core.core.Executor":
        from submitit import DebugExecutor

        return DebugExecutor(self.folder)

    def states(self, jobs: "Sequence[submitit.Job[None]]") -> dict[str, State]:
        """Run the first job, and return how it ended."""
        found = {}
        for job in jobs[:1]:
            error = job.exception()
            found[job.job_id] = State("FAILED" if error else "COMPLETED", str(error or ""))
        return found

    def end(self, jobs: "Sequence[submitit.Job[None]]") -> None:
        """Do nothing: no job runs while another part of this process does."""


CLUSTERS: Mapping[str, type[Cluster]] = {
    "slurm": SlurmCluster,
    "local": LocalCluster,
    "debug": DebugCluster,
}
