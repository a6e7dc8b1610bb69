"""Files by which a run and its jobs talk: what happened to trials, and what jobs are to do.

Each file has one writer, which appends whole lines, and lies in a folder that all machines see. It
is opened anew each time, and is there before anybody looks for it: so clients of a network file
system, which keep folders and files for a while, see what is new.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dmlbench import Doing, Epoch, Event, Record, Trial


@dataclass
class Lines:
    """A file that grows by lines. An instance yields each line once.

    Args:
        path: of the file.
    """

    path: Path
    _read: int = field(default=0, init=False)

    def create(self) -> None:
        """Make the file, without a line."""
        self.path.touch()

    def append(self, line: str) -> None:
        """Add a line, on one of its own even if a killed process has left a part of another."""
        with open(self.path, "ab") as file:
            file.write(f"\n{line}\n".encode())

    def new(self) -> Iterator[str]:
        """Yield the whole lines that were added since the last call."""
        with open(self.path, "rb") as file:
            file.seek(self._read)
            content = file.read()
        whole = content.rpartition(b"\n")[0]
        self._read += len(whole)
        yield from (line for line in whole.decode(errors="replace").split("\n") if line)


@dataclass
class EventFile:
    """What happened to the trials of a job.

    Args:
        path: of the file.
        trials: that it tells of.
    """

    path: Path
    trials: Iterable[Trial]

    def __post_init__(self) -> None:
        self.lines = Lines(self.path)
        self._by_id = {trial.id: trial for trial in self.trials}

    def append(self, event: Event) -> None:
        """Add `event`."""
        self.lines.append(json.dumps(_as_json(event)))

    def new(self) -> Iterator[Event]:
        """Yield the events that were added since the last call."""
        for line in self.lines.new():
            try:
                told = json.loads(line)
            except ValueError:  # cut off, when its job was killed
                continue
            yield _from_json(told, self._by_id)


def _as_json(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "trial": event.trial.id,
        "epoch": event.epoch and event.epoch.model_dump(mode="json"),
        "doing": event.doing and asdict(event.doing),
        "record": event.record and event.record.model_dump(mode="json"),
        "reason": event.reason,
        "worker_broken": event.worker_broken,
    }


def _from_json(told: dict[str, Any], trials: dict[str, Trial]) -> Event:
    return Event(
        told["kind"],
        trials[told["trial"]],
        epoch=told["epoch"] and Epoch.model_validate(told["epoch"]),
        doing=told["doing"] and Doing(**told["doing"]),
        record=told["record"] and Record.model_validate(told["record"]),
        reason=told["reason"],
        worker_broken=told["worker_broken"],
    )
