"""What every worker does with a trial, whichever executor it belongs to."""

import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from dmlbench.contracts.executor import Event, WorkerSettings, never
from dmlbench.errors import DataError, TrialStoppedError
from dmlbench.schemas.record import Epoch
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
    """Run `trial`, write its record, and return the event ``finished``; see `Task`.

    The checkpoint goes when the record is there, and when the trial failed: what failed starts
    anew.
    """
    from dmlbench.compute import device
    from dmlbench.storage.record_store import Store
    from dmlbench.training.session import Session
    from dmlbench.trials.run_trial import run_trial

    workplace = workplace_for(settings)
    store = Store(settings.records)

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
    broken = record.status == "failed" and not device.still_works(workplace.device)
    kept = store.keep(record)
    if kept.status == record.status:  # else the disk is full, and the checkpoint is needed
        session.remove()
    return Event("finished", trial, record=kept, worker_broken=broken)


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
