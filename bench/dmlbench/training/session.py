"""A trial's time in one process: what an earlier process left of it, and what this one saves.

Whoever is at work on a trial registers a part: what is needed to go on from there. At every pause,
which is after each step and each epoch, all parts are written to the checkpoint if that is due.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dmlbench.contracts.executor import never
from dmlbench.errors import DataError, TrialStoppedError, UnusableCheckpointError
from dmlbench.storage.checkpoints import read_checkpoint, write_checkpoint
from dmlbench.storage.trees import NotATreeError
from dmlbench.training.hidden_state import HiddenStateError

FORMAT = 1
"""Increased when parts change: older checkpoints are then left unused."""

_WRITES_PER_TIME = 100
"""Between two checkpoints lies at least this many times what writing one takes: 1 % at most."""


class Session:
    """One trial in one process.

    Args:
        path: of its checkpoint; None to keep none.
        every: seconds from one checkpoint to the next, or more if writing takes long.
        stop: returns whether the trial is to stop at its next pause.
        say: called with a sentence on what went wrong with a checkpoint.

    Attributes:
        resumed: in how many earlier processes it was stopped or killed after a checkpoint.
        epochs_over: epochs that ended in this process, 0 not counted.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        every: float = math.inf,
        stop: Callable[[], bool] = never,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.path = path
        self.resumed = 0
        self.epochs_over = 0
        self._every = every
        self._stop = stop
        self._say = say
        self._key: dict[str, Any] = {}
        self._left: dict[str, Any] = {}
        self._parts: dict[str, Callable[[], Any]] = {}
        self._due = math.inf

    def open(self, key: Mapping[str, Any]) -> None:
        """Read what an earlier process left, if it was made under the same circumstances.

        Args:
            key: the circumstances that decide a figure's last bit.
        """
        self._key = {"format": FORMAT, **key}
        self._due = time.monotonic() + self._every
        if self.path is None:
            return
        try:
            found = read_checkpoint(self.path)
        except DataError as error:
            self.start_anew(f"{error}.")
            return
        if found is None:
            return
        there, content = found
        if there != self._key:
            self.start_anew(f"{self.path} was made elsewhere: {_differences(there, self._key)}.")
            return
        self.resumed = content["resumed"] + 1
        self._left = content["parts"]

    def rewind(self) -> None:
        """Go back to the checkpoint, as if this process had not started on the trial."""
        resumed = self.resumed
        self.open(self._key)
        self.resumed = resumed

    def start_anew(self, reason: str) -> None:
        """Leave the checkpoint unused, and say why."""
        self._left, self.resumed = {}, 0
        self._say(f"{reason} The trial starts anew.")

    def take(self, name: str) -> Any | None:
        """Return the part `name` that an earlier process left, the first time; else None."""
        return self._left.pop(name, None)

    @contextmanager
    def part(self, name: str, save: Callable[[], Any]) -> Iterator[None]:
        """Have checkpoints written inside hold the part `name`, the tree that `save` returns."""
        self._parts[name] = save
        try:
            yield
        finally:
            self._parts.pop(name, None)

    def stop_if_asked(self) -> None:
        """End the trial where there is nothing to save, if it was asked to stop.

        Raises:
            TrialStoppedError: it was. A checkpoint of an earlier process stands.
        """
        if self._stop():
            raise TrialStoppedError

    def pause(self) -> None:
        """Write a checkpoint if one is due.

        Raises:
            TrialStoppedError: the trial was asked to stop; a checkpoint was written.
        """
        stopping = self._stop()
        if self.path is not None and (stopping or time.monotonic() >= self._due):
            self._write(self.path)
        if stopping:
            raise TrialStoppedError

    def _write(self, path: Path) -> None:
        began = time.monotonic()
        try:
            parts = {name: save() for name, save in self._parts.items()}
            write_checkpoint(path, self._key, {"resumed": self.resumed, "parts": parts})
        except (NotATreeError, HiddenStateError) as error:
            self._say(f"No checkpoint of this trial can be kept: {error}.")
            self.path = None
        except OSError as error:
            self._say(f"{path} can't be written: {error.strerror or error}. The trial goes on.")
        now = time.monotonic()
        self._due = now + max(self._every, _WRITES_PER_TIME * (now - began))

    def remove(self) -> None:
        """Remove the checkpoint: the trial is over."""
        if self.path is not None:
            with suppress(OSError):  # it is left over then, and never read again
                self.path.unlink()


UNSAVED = Session()
"""Keeps no checkpoint, and is never asked to stop."""


@contextmanager
def loading() -> Iterator[None]:
    """Turn whatever is raised inside, where a saved state is loaded, into one error.

    Raises:
        UnusableCheckpointError: the state does not fit.
    """
    try:
        yield
    except Exception as error:
        raise UnusableCheckpointError(
            f"The checkpoint does not fit: {type(error).__name__}: {error}."
        ) from error


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return in words how the circumstances differ."""
    pairs = []
    for name in sorted({*there, *here}):
        before, now = there.get(name), here.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            pairs += [_differences(before, now)] if before != now else []
        elif before != now:
            pairs.append(f"{name} {before} there, {now} here")
    return ", ".join(pairs)
