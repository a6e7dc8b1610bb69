"""The main job: run what is not finished yet, and return the records of the plan."""

import warnings
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import pluggy

from dmlbench.components.metrics import metric_key
from dmlbench.contracts.executor import Event, Executor, WorkerSettings
from dmlbench.errors import DataError, guarded
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.record_store import Store


@dataclass(frozen=True)
class Progress:
    """How much of a plan an earlier run left finished."""

    done: tuple[Record, ...]
    to_do: tuple[Trial, ...]
    damaged: tuple[str, ...]
    """Why a record that is there does not count."""


def progress(
    plan: Plan, store: Store, *, embeddings: bool = False, metrics: Iterable[str] = ()
) -> Progress:
    """Return which trials of `plan` have a finished record in `store`; failed ones are to do.

    So are trials of retrieval that lack one of the named `metrics` or, with `embeddings`, whose
    test embeddings were not kept.
    """
    wanted = {metric_key(name) for name in metrics}
    done: list[Record] = []
    to_do: list[Trial] = []
    damaged: list[str] = []
    for trial in plan.trials:
        try:
            record = _finished(trial, store, embeddings, wanted)
        except DataError as error:
            damaged.append(str(error))
            record = None
        if record is None:
            to_do.append(trial)
        else:
            done.append(record)
    return Progress(tuple(done), tuple(to_do), tuple(damaged))


def run(
    plan: Plan, settings: WorkerSettings, hooks: pluggy.PluginManager, executor: Executor
) -> list[Record]:
    """Run the unfinished trials of `plan` and return the records, in the plan's order.

    Trials that the executor did not finish, because it was stopped, have no record; those that
    were under way go on from their checkpoints when they are run again.

    Args:
        plan: what to run.
        settings: where records go, where data are, which device.
        hooks: the hook implementations to call.
        executor: where trials run. An instance runs once.

    Raises:
        PluginError: the executor failed.
    """
    store = Store(settings.records)
    before = progress(plan, store, embeddings=settings.keep_embeddings, metrics=settings.metrics)
    records = {record.id: record for record in before.done}
    hook = hooks.hook
    _notify(hook.dmlbench_run_started, plan=plan)
    with closing(_events(executor, before.to_do, settings)) as events:
        for event in events:
            if event.kind == "started":
                _notify(hook.dmlbench_trial_started, trial=event.trial)
            elif event.epoch is not None:
                metrics = event.epoch.model_dump(mode="json")
                _notify(hook.dmlbench_epoch_finished, trial=event.trial, metrics=metrics)
            elif event.kind != "stopped":
                record = _kept(event, store, settings)
                records[event.trial.id] = record
                _notify(hook.dmlbench_trial_finished, trial=event.trial, record=record)
    ordered = [records[trial.id] for trial in plan.trials if trial.id in records]
    _notify(hook.dmlbench_run_finished, records=ordered)
    return ordered


def _events(
    executor: Executor, trials: tuple[Trial, ...], settings: WorkerSettings
) -> Generator[Event, None, None]:
    from dmlbench.executors.worker import run_in_worker, workplace_for

    workplace_for.cache_clear()  # since this process last ran trials, plugins may have been added
    with guarded(f"The executor {type(executor).__name__}"):
        yield from executor.run(run_in_worker, iter(trials), settings)


def _finished(
    trial: Trial, store: Store, embeddings: bool, metrics: Collection[str]
) -> Record | None:
    """Return the finished record of `trial` in `store`, if it has all that is asked for.

    Raises:
        DataError: the record is damaged.
    """
    record = store.read(trial)
    if record is None or record.status != "finished":
        return None
    if not record.is_retrieval:
        return record
    kept = not embeddings or store.has_embeddings(trial)
    return record if kept and record.metrics.keys() >= set(metrics) else None


def _kept(event: Event, store: Store, settings: WorkerSettings) -> Record:
    """Return the record of a trial that ended, and make sure that it is in `store`."""
    trial, record = event.trial, event.record
    if record is None:
        wanted = [metric_key(name) for name in settings.metrics]
        with suppress(DataError):  # its worker may have died after the work was done
            written = _finished(trial, store, settings.keep_embeddings, wanted)
            if written is not None:
                return written
        return store.keep(Record(id=trial.id, trial=trial, status="failed", reason=event.reason))
    try:
        there = store.path(trial).read_text(encoding="utf-8") == record.to_json() + "\n"
    except (OSError, ValueError):
        there = False
    return record if there else store.keep(record)  # no folder is shared with the worker


def _notify(hook: Callable[..., Any], **news: Any) -> None:
    """Call all implementations of a hook; one that raises is reported and steers nothing."""
    try:
        hook(**news)
    except Exception as error:
        warnings.warn(f"A hook plugin failed: {type(error).__name__}: {error}", stacklevel=2)
