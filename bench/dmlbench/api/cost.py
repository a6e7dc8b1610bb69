"""What a planned run will take: in time, memory and disk."""

import sys
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from dmlbench.contracts.executor import Executor, WorkerSettings
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial

if TYPE_CHECKING:
    from dmlbench.planning.cost import Cost
    from dmlbench.planning.measured import Measured, Row


def run_cost(
    plan: Plan,
    to_do: Iterable[Trial],
    done: Iterable[Record],
    settings: WorkerSettings,
    probe_on: Executor | None = None,
) -> "Cost":
    """Return what the trials `to_do` of a plan will take.

    Args:
        plan: what is to run.
        to_do: those of its trials that are not finished.
        done: the records of those that are.
        settings: the folder of records, and the device.
        probe_on: where to time a few steps of the rows that no record here tells of; None: nowhere.
            What can't be timed is said on standard error.

    Raises:
        PluginError: the executor failed.
    """
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.planning.cost import estimate
    from dmlbench.planning.measured import measured_before, row_of
    from dmlbench.planning.timings import Scaled, kind_of_machine
    from dmlbench.storage.record_store import Store

    to_do = tuple(to_do)
    device, processor = kind_of_machine(settings.device)
    found = measured_before(to_do, Store(settings.records), done, device)
    probed: dict[Row, Measured] = {}
    if probe_on is not None:
        probed = _probed(
            (trial for trial in to_do if row_of(trial) not in found), settings, probe_on
        )
    scaled = Scaled(device, processor)
    return estimate(plan, to_do, found, scaled, Catalogue.discover(), probed)


def _probed(
    trials: Iterable[Trial], settings: WorkerSettings, executor: Executor
) -> "dict[Row, Measured]":
    from dmlbench.executors.probe import LONGEST_SECONDS, probe_rows

    print(f"Timing a few steps, for {LONGEST_SECONDS:.0f} s or so.", file=sys.stderr)
    probed, reasons = probe_rows(trials, settings, executor)
    for reason in reasons:
        print(f"It can't be timed: {reason}", file=sys.stderr)
    return probed


def cost_lines(cost: "Cost", executor: Executor, settings: WorkerSettings) -> list[str]:
    """Return the lines that a run says of its cost before it starts."""
    from dmlbench.executors.inline import Inline
    from dmlbench.executors.local import Local
    from dmlbench.planning.cost_text import sentences
    from dmlbench.planning.timings import kind_of_machine

    device, _ = kind_of_machine(settings.device)
    here = isinstance(executor, Local | Inline)
    return list(
        sentences(cost, executor.trials_at_once(settings), device, datetime.now(), here=here)
    )
