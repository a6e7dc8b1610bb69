"""The main job: run what is not finished yet, and return the records of the plan."""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace

import pluggy

from dmlbench.components.hook_plugins import notify
from dmlbench.components.metrics import metric_key
from dmlbench.contracts.executor import Event, Executor, WorkerSettings
from dmlbench.errors import DataError, guarded
from dmlbench.executors.finished import finished
from dmlbench.executors.sharing import OtherRuns, SharedTrials
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.claims import Claims
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
            record = finished(trial, store, embeddings, wanted)
        except DataError as error:
            damaged.append(str(error))
            record = None
        if record is None:
            to_do.append(trial)
        else:
            done.append(record)
    return Progress(tuple(done), tuple(to_do), tuple(damaged))


def run(
    plan: Plan,
    settings: WorkerSettings,
    hooks: pluggy.PluginManager,
    executor: Executor,
    on_others: Callable[[OtherRuns], None] | None = None,
    order: Callable[[Sequence[Trial]], Sequence[Trial]] = tuple,
) -> list[Record]:
    """Run the unfinished trials of `plan` and return the records, in the plan's order.

    Runs on one folder of records share the work: a trial that another one is at is left to it, and
    its record is read when it is there. Trials that the executor did not finish, because it was
    stopped, have no record; those that were under way go on from their checkpoints when they are
    run again.

    Args:
        plan: what to run.
        settings: where records go, where the data are, which device.
        hooks: called for the trials that run here.
        executor: where trials run. An instance that was stopped runs nothing more.
        on_others: called when other runs take, finish or give up trials of the plan.
        order: returns the trials that are to run in the order to draw them.

    Raises:
        DataError: trials can't be claimed.
        PluginError: the executor failed.
    """
    store, claims = Store(settings.records), Claims(settings.records)
    with claims.run() as name:
        if not name:
            warnings.warn(
                f"{settings.records} is on a file system that can't hold claims (it renames a "
                "folder onto one that is not empty). Don't start other runs there meanwhile: each "
                "would do all the work.",
                stacklevel=2,
            )
        settings = replace(settings, run=name)
        before = progress(
            plan, store, embeddings=settings.keep_embeddings, metrics=settings.metrics
        )
        records = {record.id: record for record in before.done}
        trials = SharedTrials(order(before.to_do), claims, settings)
        notify(hooks, "dmlbench_run_started", plan=plan)

        def tell_of_others() -> None:
            if (news := trials.news()) is not None:
                records.update({record.id: record for record in news.records})
                if on_others is not None:
                    on_others(news)

        while True:
            trials.were_asked_for = False
            with closing(_run_here(trials, claims, settings, hooks, executor)) as ended:
                for record in ended:
                    if record is not None:
                        records[record.id] = record
                    tell_of_others()
            tell_of_others()
            was_stopped = trials.are_left or not trials.were_asked_for
            if was_stopped or not trials.held:
                break
            trials.wait()
        ordered = [records[trial.id] for trial in plan.trials if trial.id in records]
    notify(hooks, "dmlbench_run_finished", records=ordered)
    return ordered


def _run_here(
    trials: SharedTrials,
    claims: Claims,
    settings: WorkerSettings,
    hooks: pluggy.PluginManager,
    executor: Executor,
) -> Generator[Record | None, None, None]:
    """Run what can be drawn of `trials`; yield the record of each that ends, and None meanwhile."""
    store = Store(settings.records)
    with closing(_events(executor, trials, settings)) as events:
        for event in events:
            record = None
            if event.kind == "started":
                notify(hooks, "dmlbench_trial_started", trial=event.trial)
            elif event.doing is not None:
                notify(hooks, "dmlbench_trial_progressed", trial=event.trial, doing=event.doing)
            elif event.epoch is not None:
                metrics = event.epoch.model_dump(mode="json")
                notify(hooks, "dmlbench_epoch_finished", trial=event.trial, metrics=metrics)
            elif event.kind == "finished" and event.record is None:
                trials.hold(event.trial)
            elif event.kind == "interrupted":
                if settings.run:
                    claims.lose(event.trial.id, settings.run)
                trials.put_back(event.trial)
            elif event.is_last and event.kind != "stopped":
                record = _kept(event, store, settings)
                if event.kind == "lost" and settings.run:
                    if record.status == "failed":
                        claims.tell_failure(record.id, settings.run)
                    claims.lose(record.id, settings.run)
                notify(hooks, "dmlbench_trial_finished", trial=event.trial, record=record)
            yield record


def _events(
    executor: Executor, trials: Iterator[Trial], settings: WorkerSettings
) -> Generator[Event, None, None]:
    from dmlbench.executors.worker import run_in_worker, workplace_for

    workplace_for.cache_clear()  # since this process last ran trials, plugins may have been added
    with guarded(f"The executor {type(executor).__name__}"):
        yield from executor.run(run_in_worker, trials, settings)


def _kept(event: Event, store: Store, settings: WorkerSettings) -> Record:
    """Return the record of a trial that ended, and make sure that it is in `store`."""
    trial, record = event.trial, event.record
    if record is None:
        wanted = [metric_key(name) for name in settings.metrics]
        with suppress(DataError):  # its worker may have died after the work was done
            written = finished(trial, store, settings.keep_embeddings, wanted)
            if written is not None:
                return written
        return store.keep(Record(id=trial.id, trial=trial, status="failed", reason=event.reason))
    try:
        there = store.path(trial).read_text(encoding="utf-8") == record.to_json() + "\n"
    except (OSError, ValueError):
        there = False
    return record if there else store.keep(record)  # no folder is shared with the worker
