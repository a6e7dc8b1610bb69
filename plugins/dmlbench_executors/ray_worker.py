"""What runs in Ray's worker processes: each has a worker process of dmlbench beside it.

Trials run in that one, as on one machine: with the same settings, alone in a session that ends with
it, and replaced when a trial breaks it. Ray's process only passes events on, so a trial can't hurt
it, and its death is always the node's.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from dmlbench import Event, Local, Task, Trial, WorkerSettings

_TOGETHER_SECONDS = 0.003
"""Events that follow so soon travel together: a call takes longer."""


@dataclass(frozen=True)
class Surroundings:
    """What a worker takes over from the process that started the run."""

    folder: str
    search_path: Sequence[str]
    variables: Mapping[str, str]

    @classmethod
    def here(cls, prefixes: Sequence[str]) -> "Surroundings":
        """Return those of this process, with the variables that begin with one of `prefixes`."""
        chosen = {k: v for k, v in os.environ.items() if k.startswith(tuple(prefixes))}
        return cls(os.getcwd(), [os.path.abspath(path) for path in sys.path], chosen)

    def take_over(self) -> None:
        """Make them those of this process."""
        sys.path[:] = [*self.search_path, *(p for p in sys.path if p not in self.search_path)]
        os.environ.update(self.variables)
        with suppress(OSError):  # another node may lack it
            os.chdir(self.folder)


@dataclass(frozen=True)
class Greeting:
    """What a worker says first.

    Attributes:
        node: name of the machine.
        version: of dmlbench there.
        shares_records: whether the folder of records is the run's.
    """

    node: str
    version: str
    shares_records: bool


class RayWorker:
    """An actor that runs one trial after another. Its methods may be called beside each other."""

    def __init__(self, surroundings: Surroundings, options: Mapping[str, Any]) -> None:
        surroundings.take_over()
        self._local = Local(jobs=1, **options)
        self._trials: SimpleQueue[Trial | None] = SimpleQueue()
        self._events: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        self._thread: Thread | None = None

    def begin(self, task: Task, settings: WorkerSettings, mark: str) -> "Greeting":
        """Make ready for trials.

        Args:
            task: what to do with each.
            settings: of the run. Where its folder of records is not to be seen, trials leave theirs
                in a folder of this node's, and nothing is claimed: records go with the events.
            mark: name of a file that is in the folder of records, if it is shared.
        """
        shared = (settings.records / mark).exists()
        if not shared:
            self._own = TemporaryDirectory(prefix="dmlbench-", ignore_cleanup_errors=True)
            settings = replace(settings, records=Path(self._own.name), run="")
        trials = iter(self._trials.get, None)
        self._thread = Thread(target=self._work, args=(task, trials, settings), daemon=True)
        self._thread.start()
        return Greeting(os.uname().nodename, version("dmlbench"), shared)

    def _work(self, task: Task, trials: Iterator[Trial], settings: WorkerSettings) -> None:
        try:
            for event in self._local.run(task, trials, settings):
                self._events.put(event)
        except BaseException as error:
            self._events.put(error)
        self._events.put(None)

    def events(self, trial: Trial | None = None) -> list[Event]:
        """Start `trial`, if one is given; wait for what happens next, and return it.

        An empty list says that the worker has ended, because it was stopped.
        """
        if trial is not None:
            self._trials.put(trial)
        event, found = self._events.get(), []
        while event is not None:
            if isinstance(event, BaseException):
                raise event
            found.append(event)
            if event.is_last:
                break
            try:
                event = self._events.get(timeout=_TOGETHER_SECONDS)
            except Empty:
                break
        return found

    def stop(self, grace: float) -> None:
        """Ask the trial to stop; end it after `grace` seconds."""
        self._local.stop(grace)

    def cancel(self, trial: Trial) -> None:
        """End `trial`, which is then lost."""
        self._local.cancel(trial)

    def end(self) -> None:
        """End the process that runs trials, and wait for that."""
        self._local.stop(0)
        self._trials.put(None)
        if self._thread is not None:
            self._thread.join()
