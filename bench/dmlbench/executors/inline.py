"""Trials one after the other in this process: for debugging, and inside another program."""

from collections.abc import Generator, Sequence
from functools import partial

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.device import pick_device
from dmlbench.contracts.executor import Event, WorkerSettings
from dmlbench.schemas.record import Epoch
from dmlbench.schemas.trial import Trial
from dmlbench.storage.record_store import Store
from dmlbench.trials.run_trial import run_trial


def run_inline(trials: Sequence[Trial], settings: WorkerSettings) -> Generator[Event, None, None]:
    """Run `trials` in order and yield what happens; a trial's epochs come when it is over."""
    workplace = Workplace(
        Catalogue.discover(), settings.data_dir, pick_device(settings.device), settings.cache_dir
    )
    store = Store(settings.records)
    for trial in trials:
        yield Event("started", trial)
        epochs: list[Epoch] = []
        keep = partial(store.write_embeddings, trial) if settings.keep_embeddings else None
        record = store.keep(run_trial(trial, workplace, epochs.append, keep, settings.metrics))
        yield from (Event("epoch", trial, epoch=epoch) for epoch in epochs)
        yield Event("finished", trial, record=record)
