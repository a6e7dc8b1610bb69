"""What every worker does with a trial, whichever executor it belongs to."""

import os
import sys
from collections.abc import Callable
from functools import cache, lru_cache, partial
from importlib import import_module
from pkgutil import walk_packages
from typing import TYPE_CHECKING

from dmlbench.contracts.executor import Event, WorkerSettings, never
from dmlbench.errors import DataError, TrialStoppedError
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Trial

if TYPE_CHECKING:
    from dmlbench.components.workplace import Workplace
    from dmlbench.storage.record_store import Store


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
    from dmlbench.training.session import Session
    from dmlbench.trials.run_trial import run_trial

    _import_the_harness()
    workplace = workplace_for(settings)
    process = os.getpid()

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
        record = run_trial(trial, workplace, on_epoch, keep, metrics, session)
    except TrialStoppedError:
        return Event("stopped", trial)
    finally:
        if os.getpid() != process:  # a plugin forked, and this is the child
            os._exit(1)
    broken = record.status == "failed" and not device.still_works(workplace.device)
    kept = store.keep(record)
    if kept.status == record.status:  # else the disk is full, and the checkpoint is needed
        session.remove()
    return Event("finished", trial, record=kept, worker_broken=broken or bool(record.left_changed))


@cache
def _import_the_harness() -> None:
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
        Catalogue.discover(), settings.data_dir, pick_device(settings.device), settings.cache_dir
    )
