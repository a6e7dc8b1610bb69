"""The jobs of a run: submitted, followed by what they tell, given up when Slurm has lost them."""

import math
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmlbench import ConfigError, Event
from dmlbench_executors.slurm_clusters import Cluster
from dmlbench_executors.slurm_commands import State
from dmlbench_executors.slurm_files import EventFile
from dmlbench_executors.slurm_job import Job

if TYPE_CHECKING:
    import submitit

ARRAY_TASKS = 1_000
"""As many as an array of jobs may have, unless a cluster is set up to take more."""

_RETRY_SECONDS = 30.0
_LOOK_SECONDS = (5.0, 60.0)
"""From one look at the states of jobs to the next, at first and at most: others ask Slurm, too."""
_STOPPING_SECONDS = 1.0
"""The same while jobs that wait are taken back, and others come back to the queue."""
_LOOK_SHARE = 0.05
"""Of the time that a run has taken, is the time to its next look."""


class UnderWay:
    """Jobs that are submitted, or wait for that.

    Args:
        cluster: where they run.

    Attributes:
        lost: whether one of them, or a worker in it, died at a trial. Its log is of use.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.lost = False
        self._cluster = cluster
        self._waiting: deque[Job] = deque()
        self._submitted: list[_Submitted] = []
        self._began = time.monotonic()
        self._last_look = -math.inf
        self._next_try = 0.0
        self._was_accepted = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._submitted)

    def add(self, job: Job) -> None:
        """Take in `job`, to be submitted together with others."""
        self._waiting.append(job)

    def submit(self) -> None:
        """Submit the jobs that wait. If Slurm refuses them for now, that is tried again later.

        Raises:
            ConfigError: it refuses the first ones.
        """
        from submitit.core.utils import FailedSubmissionError, UncompletedJobError

        while self._waiting and time.monotonic() >= self._next_try:
            jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), ARRAY_TASKS))]
            try:
                accepted = self._cluster.submit(jobs)
            except (UncompletedJobError, FailedSubmissionError) as error:
                why = " ".join(str(error).split()).rstrip(".")
                if not self._was_accepted:
                    raise ConfigError(
                        f"Slurm does not take the jobs: {why}. If they are too many, set "
                        "executor.jobs; --dry-run shows what is submitted."
                    ) from error
                print(f"dmlbench: Slurm takes no jobs for now: {why}.", file=sys.stderr)
                self._waiting.extendleft(reversed(jobs))
                self._next_try = time.monotonic() + _RETRY_SECONDS
                return
            self._was_accepted = True
            self._submitted += map(_Submitted, accepted, jobs)

    def news(self, cancelled: Collection[str], *, stopping: bool) -> Iterator[Event]:
        """Yield what has happened to trials since the last call.

        Args:
            cancelled: ids of trials that are not to be run, or not any longer.
            stopping: whether jobs that wait are to be taken back, without an event.
        """
        if stopping:
            self._waiting.clear()
        for each in self._submitted:
            for event in each.news():
                self.lost = self.lost or event.kind == "lost"
                yield event
            yield from each.drop(cancelled)
        if time.monotonic() - self._last_look >= self._pause(stopping=stopping):
            yield from self._look(stopping=stopping)
        self._end([each for each in self._submitted if not each.left and not each.has_begun])
        self._submitted = [each for each in self._submitted if each.left]

    def _pause(self, *, stopping: bool) -> float:
        """Return how many seconds lie between two looks at states."""
        shortest, longest = _LOOK_SECONDS
        spent = time.monotonic() - self._began
        seconds = (
            _STOPPING_SECONDS if stopping else min(max(spent * _LOOK_SHARE, shortest), longest)
        )
        return self._cluster.patience * seconds

    def _look(self, *, stopping: bool) -> Iterator[Event]:
        """See which jobs are over, though some of their trials are not."""
        if stopping:
            self._cluster.cancel_pending([each.job for each in self._submitted])
        states = self._cluster.states([each.job for each in self._submitted if each.left])
        self._last_look = time.monotonic()
        for each in self._submitted:
            state = states.get(each.job.job_id)
            was_over, each.is_over = each.is_over, state is not None and state.is_over
            if state is None or not (was_over and each.is_over):
                continue  # else its last words may still be on their way
            yield from each.news()
            for trial in [] if stopping else each.left.values():
                self.lost = True
                yield Event("lost", trial, reason=each.fate(state))
            each.left.clear()

    def end(self) -> None:
        """End all jobs that are left, at once."""
        self._waiting.clear()
        self._end(self._submitted)
        self._submitted = []
        self._cluster.close()

    def _end(self, jobs: "list[_Submitted]") -> None:
        if jobs:
            self._cluster.end([each.job for each in jobs])


class _Submitted:
    """A job that was submitted.

    Attributes:
        job: as submitit knows it.
        left: its trials that have not ended, by id.
        has_begun: whether it has told anything.
        is_over: whether Slurm said so when it was last asked.
    """

    def __init__(self, job: "submitit.Job[None]", content: Job) -> None:
        self.job = job
        self.left = {trial.id: trial for trial in content.trials}
        self.has_begun = False
        self.is_over = False
        self._events = EventFile(content.events, content.trials)
        self._place = dict.fromkeys(self.left, -1)
        self._told = dict.fromkeys(self.left, 0)

    def news(self) -> Iterator[Event]:
        """Yield what it has told since the last call."""
        for event in self._events.new():
            self.has_begun = True
            if event.trial.id in self.left and self._is_new(event):
                if event.is_last:
                    del self.left[event.trial.id]
                died = event.kind == "lost" and event.reason != "cancelled"
                hint = f" Its log is {self._log}." if died else ""
                yield replace(event, reason=event.reason + hint)

    def _is_new(self, event: Event) -> bool:
        """Return whether this was not told before: a requeued job begins its trials again."""
        if event.kind == "doing":
            return True
        trial = event.trial.id
        self._place[trial] = 0 if event.kind == "started" else self._place[trial] + 1
        is_new = event.is_last or self._place[trial] >= self._told[trial]
        self._told[trial] += is_new
        return is_new

    def drop(self, cancelled: Collection[str]) -> Iterator[Event]:
        """Yield that trials are lost which were `cancelled` before they started."""
        for trial in list(self.left.values()):
            if trial.id in cancelled and self._told[trial.id] == 0:
                del self.left[trial.id]
                yield Event("lost", trial, reason="cancelled")

    @property
    def _log(self) -> Path:
        return self.job.paths.stderr

    def fate(self, state: State) -> str:
        """Return why the trials are lost that it has told nothing of."""
        try:
            lines = self._log.read_text(errors="replace").split("\n")
        except OSError:
            lines = []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        words = f" The last line of its log: {last}" if last else ""
        return f"Its job {self.job.job_id} {state.meaning} Its log is {self._log}.{words}"
