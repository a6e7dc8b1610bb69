"""A few steps of the rows of a plan, timed where its trials will run."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, zip_longest

from dmlbench.contracts.executor import Event, Executor, WorkerSettings, never
from dmlbench.errors import DmlbenchError, TrialEnded, describe_exception, guarded, text_of
from dmlbench.planning.measured import Measured, Row, measured, row_of
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial

LONGEST_SECONDS = 120.0
"""No other row is begun after that."""


def probe_rows(
    trials: Iterable[Trial], settings: WorkerSettings, executor: Executor
) -> tuple[dict[Row, Measured], list[str]]:
    """Return what a trial of each row takes, and why some rows can't be timed.

    As many rows are timed as there is time for, of all tables in turn.

    Args:
        trials: of these, one of each row is timed. Nothing of it is kept.
        settings: of the workers.
        executor: where trials will run.

    Raises:
        PluginError: the executor failed.
    """
    found: dict[Row, Measured] = {}
    reasons: list[str] = []
    with closing(_events(_while_there_is_time(_in_turn(trials)), settings, executor)) as events:
        for event in events:
            if event.kind == "lost":
                reasons.append(f"{event.trial}: {event.reason}")
            record = event.record
            if record is None:
                continue
            taken = measured(record.measurements, record.settings.get("device", ""))
            if taken and record.status == "finished":
                found[row_of(event.trial)] = taken
            else:
                reasons.append(f"{event.trial}: {record.reason}")
    return found, reasons


def _events(
    trials: Iterator[Trial], settings: WorkerSettings, executor: Executor
) -> Generator[Event, None, None]:
    with guarded(f"The executor {type(executor).__name__}"):
        yield from executor.run(probe_in_worker, trials, settings)


def _in_turn(trials: Iterable[Trial]) -> list[Trial]:
    """Return a trial of each row: the first one of each table, then the second ones."""
    rows: dict[Row, Trial] = {}
    for trial in trials:
        rows.setdefault(row_of(trial), trial)
    tables: dict[str, list[Trial]] = {}
    for row, trial in rows.items():
        tables.setdefault(row[0], []).append(trial)
    turns = chain.from_iterable(zip_longest(*tables.values()))
    return [trial for trial in turns if trial is not None]


def _while_there_is_time(trials: Iterable[Trial]) -> Iterator[Trial]:
    over = time.monotonic() + LONGEST_SECONDS
    for trial in trials:
        if time.monotonic() > over:
            return
        yield trial


def probe_in_worker(
    trial: Trial,
    settings: WorkerSettings,
    report: Callable[[Event], None],
    stop: Callable[[], bool] = never,
) -> Event:
    """Time a few steps of `trial`; return the event ``finished`` with the measurements, see `Task`.

    The record is no trial's: nobody writes it.
    """
    from dmlbench.compute.device import describe
    from dmlbench.executors.worker import workplace_for
    from dmlbench.trials.probe import probe

    workplace = workplace_for(settings)
    report(Event("started", trial))
    if stop():
        return Event("stopped", trial)
    described = describe(workplace.device, trial.protocol.precision)
    record = Record(id=trial.id, trial=trial, status="failed", settings=described)
    try:
        told = {"status": "finished", "measurements": probe(trial, workplace)}
    except TrialEnded:
        raise
    except DmlbenchError as error:
        told = {"reason": text_of(error)}
    except Exception as error:
        told = {"reason": describe_exception(error)}
    return Event("finished", trial, record=record.model_copy(update=told))
