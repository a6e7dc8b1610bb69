"""What every worker does with a trial, whichever executor it belongs to."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, lru_cache, partial
from importlib import import_module
from pkgutil import walk_packages
from typing import TYPE_CHECKING

from dmlbench.contracts.executor import Doing, Event, WorkerSettings, never
from dmlbench.errors import DataError, RankLostError, TrialStoppedError
from dmlbench.executors.group import device_of_rank, group_of
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Trial

if TYPE_CHECKING:
    from dmlbench.components.workplace import Workplace
    from dmlbench.storage.record_store import Store

_TELL_SECONDS = 1.0
"""From one word on what a trial is doing to the next."""


def run_in_worker(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool] = never,
) -> Event:
    """Claim and run `trial`, write its record, and return the event ``finished``; see `Task`.

    The checkpoint goes when the record is there, and when the trial failed: what failed starts
    anew.
    """
    from dmlbench.storage.claims import Claims
    from dmlbench.storage.record_store import Store

    store = Store(settings.records)
    if not settings.run:
        return _run(trial, settings, report, stop, store)
    from dmlbench.executors.sharing import settled_elsewhere

    claims = Claims(settings.records)
    claims.lose(trial.id, settings.run)  # of a worker that died; an executor tries a trial again
    try:
        claim = claims.take(trial.id, settings.run)
    except OSError as error:
        reason = f"The trial can't be claimed in {claims.folder}: {error.strerror or error}."
        record = Record(id=trial.id, trial=trial, status="failed", reason=reason)
        return Event("finished", trial, record=store.keep(record))
    if claim is None:
        return Event("finished", trial)
    with claim:
        if settled_elsewhere(trial, store, claims, settings) is not None:
            return Event("finished", trial)
        event = _run(trial, settings, report, stop, store)
        if event.record is not None and event.record.status == "failed":
            claims.tell_failure(trial.id, settings.run)
        return event


def _run(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool],
    store: "Store",
) -> Event:
    from dmlbench.compute import device
    from dmlbench.compute.phases import heard_by
    from dmlbench.training.session import Session
    from dmlbench.trials.run_trial import run_trial

    import_the_harness()
    workplace, process = workplace_for(settings), os.getpid()
    group = group_of(trial, settings)
    if group:
        workplace = replace(workplace, world=group.world)

    def on_epoch(epoch: Epoch) -> None:
        report(Event("epoch", trial, epoch=epoch))

    def say(sentence: str) -> None:
        print(f"dmlbench: {trial}: {sentence}", file=sys.stderr, flush=True)

    session = Session(
        store.checkpoint_path(trial), every=settings.checkpoint_seconds, stop=stop, say=say
    )
    report(Event("started", trial))
    keep = partial(store.write_embeddings, trial) if settings.keep_embeddings else None
    metrics = (*settings.metrics, *_metrics_there(trial, store, workplace))
    try:
        with (
            heard_by(_Teller(trial, report)),
            group.together(trial, workplace.device) if group else nullcontext(),
        ):
            record = run_trial(trial, workplace, on_epoch, keep, metrics, session)
    except TrialStoppedError:
        return Event("stopped", trial)
    except RankLostError:
        assert group is not None  # nobody else is lost
        return Event("lost", trial, reason=group.what_happened())
    finally:
        if os.getpid() != process:  # a plugin forked, and this is the child
            os._exit(1)
    broken = record.status == "failed" and not device.still_works(workplace.device)
    kept = store.keep(record)
    if kept.status == record.status:  # else the disk is full, and the checkpoint is needed
        session.remove()
    return Event("finished", trial, record=kept, worker_broken=broken or bool(record.left_changed))


class _Teller:
    """Reports what a trial is doing: each phase when it first comes, and then once a second."""

    def __init__(self, trial: Trial, report: Callable[[Event], None]) -> None:
        self._trial, self._report = trial, report
        self._told: set[str] = set()
        self._last = time.monotonic()

    def __call__(self, phase: str, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if phase in self._told and now - self._last < _TELL_SECONDS:
            return
        self._told.add(phase)
        self._last = now
        self._report(Event("doing", self._trial, doing=Doing(phase, done, total, unit)))


@cache
def import_the_harness() -> None:
    """Import all modules that a trial may use: only what is there can be seen to be replaced.

    It is no time of the first trial's.
    """
    import torch

    for name in ("compute", "contracts", "components", "data", "retrieval", "training", "trials"):
        package = import_module(f"dmlbench.{name}")
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    torch.use_deterministic_algorithms(  # as it is; the first call imports much of torch
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _metrics_there(trial: Trial, store: "Store", workplace: "Workplace") -> list[str]:
    """Return the metrics of a record that is made again for more of them: it keeps those it had."""
    try:
        record = store.read(trial)
    except DataError:
        return []
    if record is None or not record.is_retrieval:
        return []
    offered = workplace.catalogue.references("metric")
    return [key for key in record.metrics if key not in record.metric_facts or key in offered]


@lru_cache(maxsize=1)
def workplace_for(settings: WorkerSettings) -> "Workplace":
    """Return the components, data and device of this process, made once: trials share them."""
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.workplace import Workplace
    from dmlbench.compute.device import pick_device

    return Workplace(
        Catalogue.discover(),
        settings.data_dir,
        pick_device(device_of_rank(settings, 0)),
        settings.cache_dir,
        settings.chunk,
    )
