"""What ``dmlbench run`` says before it starts: the plan, and what it will take."""

from textwrap import fill
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dmlbench.contracts.executor import Executor, WorkerSettings
    from dmlbench.executors.run import Progress
    from dmlbench.planning.cost import Cost
    from dmlbench.schemas.plan import Plan
    from dmlbench.schemas.trial import Trial


def show_plan(plan: "Plan", done: int, where: str) -> None:
    """Print the tables of a plan with their rows, what was left out, and what is odd."""
    for table, trials in _by_table(plan).items():
        rows = list(dict.fromkeys(trial.label for trial in trials))
        seeds = sorted({trial.seed for trial in trials})
        click.echo(f"{table}: {len(rows)} rows x {len(seeds)} seeds = {len(trials)} trials")
        click.echo(_wrapped(rows))
        if any("loss" in trial.parts for trial in trials) and table in plan.workloads:
            click.echo(f"  {plan.workloads[table]}")
    for reason in plan.left_out:
        click.echo(f"Left out: {reason}")
    for remark in plan.remarks:
        click.echo(f"Note: {remark}", err=True)
    click.echo(f"{len(plan.trials) - done} trials to run, {done} finished before; {where}.")


def show_cost(
    plan: "Plan", before: "Progress", executor: "Executor", settings: "WorkerSettings", probe: bool
) -> "Cost":
    """Print what the trials that are left will take, and return it.

    Args:
        plan: what was asked for.
        before: what of it is finished.
        executor: where trials run.
        settings: of the workers.
        probe: whether to time a few steps of the rows that no record here tells of.
    """
    from dmlbench.api.cost import cost_lines, run_cost

    cost = run_cost(plan, before.to_do, before.done, settings, executor if probe else None)
    for line in cost_lines(cost, executor, settings):
        click.echo(line)
    click.echo()
    return cost


def _by_table(plan: "Plan") -> "dict[str, list[Trial]]":
    from dmlbench.schemas.plan import table_name

    tables: dict[str, list[Trial]] = {}
    for trial in plan.trials:
        tables.setdefault(table_name(trial), []).append(trial)
    return tables


def _wrapped(rows: list[str]) -> str:
    return fill(
        ", ".join(rows), 96, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
