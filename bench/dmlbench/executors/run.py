"""The main job: run what is not finished yet, and return every record of the plan."""

import os
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pluggy

from dmlbench.components.metrics import metric_key
from dmlbench.contracts.executor import Event, WorkerSettings
from dmlbench.errors import DataError
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
            record = store.read(trial)
        except DataError as error:
            damaged.append(str(error))
            record = None
        lacks = (
            record is None
            or record.status == "failed"
            or (record.is_retrieval and not record.metrics.keys() >= wanted)
            or (record.is_retrieval and embeddings and not store.embeddings_path(trial).is_file())
        )
        if record is None or lacks:
            to_do.append(trial)
        else:
            done.append(record)
    return Progress(tuple(done), tuple(to_do), tuple(damaged))


def run(
    plan: Plan, settings: WorkerSettings, hooks: pluggy.PluginManager, jobs: int
) -> list[Record]:
    """Run the unfinished trials of `plan` and return the records of all, in the plan's order.

    Args:
        plan: what to run.
        settings: where records go, where data are, which device.
        hooks: who listens.
        jobs: worker processes; 0 runs the trials in this process.
    """
    before = progress(
        plan,
        Store(settings.records),
        embeddings=settings.keep_embeddings,
        metrics=settings.metrics,
    )
    records = {record.id: record for record in before.done}
    hook = hooks.hook
    _notify(hook.dmlbench_run_started, plan=plan)
    with closing(_events(before.to_do, settings, jobs)) as events:
        for event in events:
            if event.kind == "started":
                _notify(hook.dmlbench_trial_started, trial=event.trial)
            elif event.epoch is not None:
                metrics = event.epoch.model_dump(mode="json")
                _notify(hook.dmlbench_epoch_finished, trial=event.trial, metrics=metrics)
            elif event.record is not None:
                records[event.trial.id] = event.record
                _notify(hook.dmlbench_trial_finished, trial=event.trial, record=event.record)
    ordered = [records[trial.id] for trial in plan.trials]
    _notify(hook.dmlbench_run_finished, records=ordered)
    return ordered


def default_jobs(device: str) -> int:
    """Return how many worker processes suit `device`: one a CPU core; else one, as all share it."""
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cpu"):
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    return 1


def _notify(hook: Callable[..., Any], **news: Any) -> None:
    """Call who listens; a listener that raises anything is reported and steers nothing."""
    try:
        hook(**news)
    except Exception as error:
        warnings.warn(f"A hook plugin failed: {type(error).__name__}: {error}", stacklevel=2)


def _events(
    trials: tuple[Trial, ...], settings: WorkerSettings, jobs: int
) -> Generator[Event, None, None]:
    if jobs == 0:
        from dmlbench.executors.inline import run_inline

        return run_inline(trials, settings)
    from dmlbench.executors.local import run_local

    return run_local(trials, settings, jobs)
