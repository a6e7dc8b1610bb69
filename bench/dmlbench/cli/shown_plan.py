"""What ``dmlbench run`` says before it starts: the plan, and what it will take."""

import shutil
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from dmlbench.counted import counted

if TYPE_CHECKING:
    from dmlbench.contracts.executor import Executor, WorkerSettings
    from dmlbench.executors.run import Progress
    from dmlbench.planning.cost import Cost
    from dmlbench.schemas.plan import Plan
    from dmlbench.schemas.trial import Trial

_WIDEST = 100


def show_plan(plan: "Plan", done: int, where: str) -> None:
    """Print the tables of a plan with their rows, what was left out, and what is odd."""
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    for table, trials in _by_table(plan).items():
        rows = counted(len({trial.row for trial in trials}), "row")
        seeds = counted(len({trial.seed for trial in trials}), "seed")
        click.echo(f"{table}: {rows} x {seeds} = {counted(len(trials), 'trial')}")
        for line in _lines(_by_miner(trials), width):
            click.echo(line)
        if any("loss" in trial.parts for trial in trials) and table in plan.workloads:
            click.echo(f"  {plan.workloads[table]}")
    for reason in plan.left_out:
        click.echo(f"Left out: {reason}")
    for remark in plan.remarks:
        click.echo(f"Note: {remark}", err=True)
    to_run = counted(len(plan.trials) - done, "trial")
    click.echo(f"{to_run} to run, {done} finished before; {where}.")


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


def _by_miner(trials: "Iterable[Trial]") -> dict[str, list[str]]:
    """Return losses by their miners, and the baselines.

    Losses that run with the same miners stand together. The order is that of the plan.
    """
    miners: dict[str, list[str]] = {}
    baselines: dict[str, None] = {}
    for trial in trials:
        parts = {kind: str(part) for kind, part in trial.parts.items()}
        if "baseline" in parts:
            baselines[parts["baseline"]] = None
        elif (miner := parts.get("miner", "")) not in (of := miners.setdefault(parts["loss"], [])):
            of.append(miner)
    groups: dict[str, list[str]] = {}
    for loss, of in miners.items():
        groups.setdefault(", ".join(miner or "none" for miner in of), []).append(loss)
    return groups | ({"": list(baselines)} if baselines else {})


def _lines(groups: dict[str, list[str]], width: int) -> Iterator[str]:
    """Yield a table of miners and losses; long cells take several lines."""
    left = min(max(map(len, ("Miner", "Baselines", *groups))), width // 3)
    if any(groups):
        yield f"  {'Miner':{left}}  Losses"
    for miners, names in groups.items():
        first = wrap(miners, left, break_on_hyphens=False) or ["Baselines"]
        second = wrap(", ".join(names), width - left - 4, break_on_hyphens=False)
        for place in range(max(len(first), len(second))):
            cells = [cell[place] if place < len(cell) else "" for cell in (first, second)]
            yield f"  {cells[0]:{left}}  {cells[1]}".rstrip()
