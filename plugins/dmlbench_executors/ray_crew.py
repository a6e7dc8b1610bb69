"""The workers of a run on Ray, as the run sees them."""

import math
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from dmlbench import ConfigError, Event, Task, Trial, WorkerSettings
from dmlbench_executors.ray_connection import first_line
from dmlbench_executors.ray_worker import Greeting, RayWorker, Surroundings

_TICK_SECONDS = 0.1
"""How long one wait takes, between looks at `Executor.stop` and `Executor.cancel`."""
_LOOK_SECONDS = 5.0
"""How often the cluster is asked for its nodes."""
_PATIENCE_SECONDS = 15.0
"""After that it is said that no node has room."""
_END_SECONDS = 8.0
"""How long workers may take to end; a process of theirs has five seconds."""
_MOST_FAILED_STARTS = 3


class Worker:
    """A worker on some node.

    Attributes:
        trial: the one under way, if any.
        call: what it was asked for and has not answered; None while it is idle.
        is_new: whether it has not answered yet: it may wait for room.
        death: what it, or its node, died of; empty while it lives.
    """

    def __init__(self, actor: Any, task: Task, settings: WorkerSettings, mark: str) -> None:
        self.actor = actor
        self.trial: Trial | None = None
        self.is_new = True
        self.death = ""
        self.call = actor.begin.remote(task, settings, mark)
        self._keeps_embeddings = settings.keep_embeddings
        self._was_asked_to_stop = False
        self._was_told_to_cancel = False

    def start(self, trial: Trial) -> None:
        """Hand it `trial`. It must be idle."""
        self.trial = trial
        self._was_told_to_cancel = False
        self.call = self.actor.events.remote(trial)

    def ask_to_stop(self, grace: float) -> None:
        """Ask its trial to stop within `grace` seconds, once."""
        if not self._was_asked_to_stop:
            self._was_asked_to_stop = True
            self.actor.stop.remote(grace)

    def cancel(self) -> None:
        """End its trial, which then is lost."""
        if not self._was_told_to_cancel:
            self._was_told_to_cancel = True
            self.actor.cancel.remote(self.trial)

    def receive(self) -> list[Event]:
        """Return what happened to its trial. It must have answered.

        Raises:
            ConfigError: it can't run trials of this run.
        """
        import ray

        trial, call, self.call = self.trial, self.call, None
        try:
            answer = ray.get(call)
        except ray.exceptions.RayTaskError:  # a bug, ours or of the task
            raise
        except ray.exceptions.RayError as error:
            self.death, self.trial = first_line(error), None
            return [Event("interrupted", trial, reason=self.death)] if trial else []
        if isinstance(answer, Greeting):
            self.is_new = False
            _check(answer, self._keeps_embeddings)
            return []
        events: list[Event] = answer
        if not events or events[-1].is_last:
            self.trial = None
            self.death = "" if events else "It was stopped."
        else:
            self.call = self.actor.events.remote()
        return events


class Crew:
    """All workers of a run.

    Args:
        arguments: what each begins with: task, settings and mark; see `RayWorker.begin`.
        surroundings: what each takes over from this process.
        limits: of each, as options of `dmlbench.Local`.
        num_cpus: what each takes of its node.
        num_gpus: likewise.
        jobs: how many at most; None: as many as there is room for.
        grows: whether nodes may join the cluster.
    """

    def __init__(
        self,
        arguments: tuple[Task, WorkerSettings, str],
        surroundings: Surroundings,
        limits: dict[str, Any],
        *,
        num_cpus: float,
        num_gpus: float,
        jobs: int | None,
        grows: bool,
    ) -> None:
        import ray

        takes = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        actor = ray.remote(RayWorker).options(**takes, max_concurrency=4)  # calls beside `events`
        self._start: Callable[[], Worker] = lambda: Worker(
            actor.remote(surroundings, limits), *arguments
        )
        self._takes = {"CPU": num_cpus, "GPU": num_gpus}
        self._jobs = jobs
        self._grows = grows
        self._workers: list[Worker] = []
        self._slots = 0
        self._next_look = 0.0
        self._failed_starts = 0
        self._complain_at = time.monotonic() + _PATIENCE_SECONDS

    @property
    def busy(self) -> list[Worker]:
        """Return those at a trial."""
        return [worker for worker in self._workers if worker.trial is not None]

    @property
    def idle(self) -> list[Worker]:
        """Return those that can take a trial now."""
        return [worker for worker in self._workers if worker.call is None and not worker.death]

    def hire(self, trials: int) -> None:
        """Start workers for so many more trials, as far as there is room.

        Raises:
            ConfigError: there never is, or no worker can be started.
        """
        wanted = min(self._room(), max(1, len(self.busy) + trials))
        while len(self._workers) < wanted:
            self._workers.append(self._start())

    def _room(self) -> int:
        if time.monotonic() > self._next_look:
            self._slots = _slots(self._takes)
            self._next_look = time.monotonic() + _LOOK_SECONDS
        if self._grows:
            return self._jobs or self._slots + 1
        if self._slots == 0:
            raise ConfigError(
                f"A trial takes {_amounts(self._takes)} (executor.num_cpus, executor.num_gpus), "
                "which this machine does not have. Ask for less, or name a cluster by "
                "executor.address."
            )
        return min(self._jobs or self._slots, self._slots)

    def dismiss(self) -> None:
        """Let go of all that have no trial, but for one that asks for more of them."""
        keep = [worker for worker in self._workers if worker.trial is not None or worker.is_new]
        keep = [worker for worker in keep if worker.trial is not None] + self.idle[:1]
        self._end([worker for worker in self._workers if worker not in keep])
        self._workers = keep

    def wait(self) -> list[Worker]:
        """Wait a moment; return the workers that have answered, and forget those that died."""
        import ray

        self._forget_dead()
        calls = {worker.call: worker for worker in self._workers if worker.call is not None}
        if not calls:
            return []
        ray.wait(list(calls), timeout=_TICK_SECONDS)
        ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return [calls[call] for call in ready]

    def _forget_dead(self) -> None:
        """Forget workers that died; complain where none can be started.

        Raises:
            ConfigError: several in a row died when they were started.
        """
        new = [worker.death for worker in self._workers if worker.death and worker.is_new]
        self._workers = [worker for worker in self._workers if not worker.death]
        at_work = any(not worker.is_new for worker in self._workers)
        self._failed_starts = 0 if at_work else self._failed_starts + len(new)
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise ConfigError(
                f"No worker can be started on Ray: {new[-1]} The same dmlbench has to be "
                "installed on each node."
            )
        if at_work:
            self._complain_at = math.inf
        if time.monotonic() > self._complain_at:
            self._complain_at = math.inf
            print(
                f"dmlbench: no node of the Ray cluster has room for a trial, which takes "
                f"{_amounts(self._takes)}. Waiting for one.",
                file=sys.stderr,
            )

    def end(self) -> None:
        """End all workers, those at a trial too."""
        self._end(self._workers)

    def _end(self, workers: list[Worker]) -> None:
        import ray

        ending = [worker.actor.end.remote() for worker in workers if not worker.is_new]
        if ending:
            ray.wait(ending, num_returns=len(ending), timeout=_END_SECONDS)
        for worker in workers:
            ray.kill(worker.actor)


def _check(greeting: Greeting, keeps_embeddings: bool) -> None:
    """Check that a worker can do what the run needs.

    Raises:
        ConfigError: it can't.
    """
    if greeting.version != version("dmlbench"):
        raise ConfigError(
            f"On the node {greeting.node} dmlbench {greeting.version} is installed, here "
            f"{version('dmlbench')}. Install the same on all nodes."
        )
    if keeps_embeddings and not greeting.shares_records:
        raise ConfigError(
            f"--keep-embeddings writes beside the records, and the node {greeting.node} does not "
            "see their folder. Name one that all nodes share, by --output."
        )


def _slots(takes: dict[str, float]) -> int:
    """Return how many workers that take so much each fit onto the nodes that are up."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needed = {name: amount for name, amount in takes.items() if amount}
    return sum(min(int(node.get(k, 0) / v + 1e-6) for k, v in needed.items()) for node in nodes)


def _amounts(takes: dict[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in takes.items() if amount)
