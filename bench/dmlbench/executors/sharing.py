"""The trials that a run draws, while other runs draw from the same plan into the same folder."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dmlbench.components.metrics import metric_key
from dmlbench.contracts.executor import WorkerSettings
from dmlbench.executors.finished import settled
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.claims import Claims
from dmlbench.storage.record_store import Store

_LOOK_SECONDS = 1.0
_LOOK_SHARE = 0.05
"""Of the time: with thousands of claims on a slow file system, one look takes seconds."""


@dataclass(frozen=True)
class OtherRuns:
    """What other runs do with the trials of this one.

    Attributes:
        under_way: how many trials they hold.
        records: what they have finished since the last time, or failed at.
    """

    under_way: int
    records: tuple[Record, ...] = ()


class SharedTrials(Iterator[Trial]):
    """Gives the trials that nobody else has finished or is at.

    It is exhausted while all that are left are under way in other runs, and gives one of them later
    if its holder gave it up or died.

    Attributes:
        held: trials under way in other runs, by id.
        were_asked_for: whether one was drawn, or would have been. A stopped executor draws none.
    """

    def __init__(self, trials: Iterable[Trial], claims: Claims, settings: WorkerSettings) -> None:
        self._fresh = deque(trials)
        self._claims = claims
        self._settings = settings
        self._store = Store(settings.records)
        self._next_look = 0.0
        self.held: dict[str, Trial] = {}
        self.were_asked_for = False
        self._found: list[Record] = []
        self._told = 0

    def __next__(self) -> Trial:
        self.were_asked_for = True
        while self._fresh:
            trial = self._fresh.popleft()
            if self._is_free(trial):
                return trial
        self._look()
        if self._fresh:
            return self._fresh.popleft()
        raise StopIteration

    def __length_hint__(self) -> int:
        return len(self._fresh)

    @property
    def are_left(self) -> bool:
        """Return whether there are trials that may be drawn now."""
        return bool(self._fresh)

    def hold(self, trial: Trial) -> None:
        """Put back a trial that another run was faster to take."""
        self.held[trial.id] = trial

    def put_back(self, trial: Trial) -> None:
        """Give a trial once more that was drawn, and did not end."""
        self._fresh.append(trial)

    def wait(self) -> None:
        """Wait until there may be news of other runs, but not long."""
        time.sleep(min(_LOOK_SECONDS, max(0.0, self._next_look - time.monotonic())))

    def news(self) -> OtherRuns | None:
        """Return what other runs do, if it has changed since the last call."""
        if not self._found and self._told == len(self.held):
            return None
        news = OtherRuns(len(self.held), tuple(self._found))
        self._told, self._found = len(self.held), []
        return news

    def _look(self) -> None:
        """See which of the trials that others held are settled or free."""
        began = time.monotonic()
        if began < self._next_look:
            return
        for trial in list(self.held.values()):
            del self.held[trial.id]
            if self._is_free(trial):
                self._fresh.append(trial)
        ended = time.monotonic()
        self._next_look = ended + max(_LOOK_SECONDS, (ended - began) / _LOOK_SHARE)

    def _is_free(self, trial: Trial) -> bool:
        """Return whether `trial` is to be run here; else note what others have done with it."""
        if self._settings.run and self._claims.is_held(trial.id):
            self.held[trial.id] = trial
            return False
        record = settled_elsewhere(trial, self._store, self._claims, self._settings)
        if record is not None:
            self._found.append(record)
        return record is None


def settled_elsewhere(
    trial: Trial, store: Store, claims: Claims, settings: WorkerSettings
) -> Record | None:
    """Return the record of `trial` that another run has made since the plan was looked through."""
    return settled(
        trial,
        store,
        settings.keep_embeddings,
        [metric_key(name) for name in settings.metrics],
        failed=bool(settings.run) and claims.has_failed(trial.id, settings.run),
    )
