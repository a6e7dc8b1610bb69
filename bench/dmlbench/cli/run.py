"""``dmlbench run``: plan, show the plan, run, and write the leaderboards."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dmlbench.api.defaults import CHECKPOINT_MINUTES, LEADERBOARDS, RUNS
from dmlbench.cli.options import (
    cache_dir_option,
    data_dir_option,
    metrics_option,
    output_option,
    worker_options,
)
from dmlbench.counted import counted

if TYPE_CHECKING:
    from dmlbench.api.records import Records

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _several(name: str, plural: str, help_text: str) -> Callable[[_Function], _Function]:
    """Return an option that may be given more than once, or with commas."""
    return click.option(
        f"--{name}",
        plural,
        multiple=True,
        metavar="NAME",
        callback=_names,
        help=help_text,
    )


def _names(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(_named(part) for value in values for part in value.split(","))


def _name(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    return value if value is None else _named(value)


def _named(text: str) -> str:
    """Return `text`, which is not empty: an unset shell variable must not stand for everything."""
    if not text.strip():
        raise click.BadParameter("it names nothing.")
    return text.strip()


def _seeds(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """Read ``5`` as the seeds 0 to 4, and ``3,7`` as these two."""
    if value is None:
        return None
    from dmlbench.api.request import seed_numbers

    try:
        numbers = tuple(int(part) for part in value.split(",") if part)
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < (0 if "," in value else 1):
        raise click.BadParameter(f"{value!r} is neither a number of seeds nor a list such as 3,7.")
    return seed_numbers(numbers if "," in value else numbers[0])


def _settings(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for key, equals, _ in pairs:
        if not equals or "." not in key:
            hint = _as_a_field(key.strip())
            raise click.BadParameter(f"{key!r} is not of the form loss.margin=0.3.{hint}")
    return {key.strip(): text.strip() for key, _, text in pairs}


def _as_a_field(name: str) -> str:
    """Return how to set the field of the protocol that is called `name`, if there is one."""
    from dmlbench.errors import ending_in
    from dmlbench.schemas.protocol import Protocol

    fields = ending_in(name, Protocol.fields()) or [f for f in Protocol.fields() if f == name]
    return f" The protocol's is set by --set protocol.{fields[0]}=VALUE." if fields else ""


class _Run(click.Command):
    """Says how to set what is no option but a field of the protocol, such as --lr.

    Says that it ends where nobody reads its output any more: ``dmlbench run | head``.
    """

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is buffered
            click.echo(
                "dmlbench: stopped, as nobody reads its output any more. What was finished is "
                "kept. Run the same command again to continue, with its output to a file.",
                err=True,
            )
            raise SystemExit(128 + signal.SIGPIPE) from None

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            hint = _as_a_field(error.option_name.lstrip("-").replace("-", "_"))
            if not hint:
                raise
            raise click.UsageError(
                f"There is no option {error.option_name}.{hint}", context
            ) from error


@click.command("run", cls=_Run)
@click.option("--all", "everything", is_flag=True, help="Run all losses, miners and baselines.")
@click.option("--suite", type=click.Path(path_type=Path), help="A TOML file that says what to run.")
@_several("dataset", "datasets", "Dataset, or 'all' that are ready here. Repeat it, or use commas.")
@_several("loss", "losses", "Loss, or 'all'.")
@_several("miner", "miners", "Miner for each loss, in place of its own.")
@_several("baseline", "baselines", "Baseline, 'all', or 'none'.")
@_several("sampler", "samplers", "Sampler, in place of the protocol's; 'paper': each loss's own.")
@click.option(
    "--backbone", callback=_name, metavar="NAME", help="Backbone, in place of the protocol's."
)
@click.option(
    "--protocol", callback=_name, metavar="NAME", help="Protocol, or the path of a TOML file."
)
@click.option("--seeds", callback=_seeds, metavar="N", help="How many seeds, or which: 3,7.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="KIND.NAME=VALUE",
    help="Set a hyper-parameter (loss.margin=0.3), a protocol's field, or an executor's option.",
)
@data_dir_option
@cache_dir_option
@output_option
@click.option(
    "--executor",
    callback=_name,
    metavar="NAME",
    help="Where trials run: local (if not given), inline, or one from a plugin.",
)
@worker_options
@click.option(
    "--allow-partial",
    is_flag=True,
    help="Accept datasets of which only a part is here; the tables say so.",
)
@click.option(
    "--keep-embeddings",
    is_flag=True,
    help="Write the test embeddings beside each record, for pictures of what is retrieved and for "
    "score.",
)
@metrics_option
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=CHECKPOINT_MINUTES,
    show_default=True,
    help="How often trials under way are saved; they go on from there after a stop.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan with its cost, and stop.")
@click.option("--probe", is_flag=True, help="Time a few steps first, to tell the cost.")
@click.option("--log", is_flag=True, help="Print a line for each epoch of each trial.")
def command(
    suite: Path | None,
    data_dir: Path | None,
    cache_dir: Path | None,
    output: Path,
    executor: str | None,
    jobs: int | None,
    isolate: bool,
    trial_timeout: float | None,
    trial_memory: float | None,
    allow_partial: bool,
    device: str,
    devices: str | None,
    chunk: int | None,
    devices_per_trial: int,
    keep_embeddings: bool,
    metrics: tuple[str, ...],
    checkpoint_minutes: float,
    dry_run: bool,
    probe: bool,
    log: bool,
    **asked: Any,
) -> None:
    """Train, evaluate, and write leaderboards to the current directory.

    Say what to run: losses, miners or baselines by name, or --all, which takes long. Finished
    trials are not run again: after a stop, the same command continues. Ctrl-C saves the trials
    under way and writes the tables of what is finished; a second one ends at once.
    """
    options = _executor_options(asked["settings"])
    request = _request(suite, asked)

    from dmlbench.api.request import make_suite
    from dmlbench.api.running import check_device, check_networks, plan, run_plan
    from dmlbench.api.stopping import stopping
    from dmlbench.cli.epoch_log import EpochLog
    from dmlbench.cli.shown_plan import show_cost, show_plan
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.metrics import choose_metrics
    from dmlbench.contracts.executor import WorkerSettings
    from dmlbench.executors.choice import choose_executor
    from dmlbench.executors.run import progress
    from dmlbench.leaderboard.formats.terminal import print_tables
    from dmlbench.storage.record_store import Store

    typed, output = output, output.absolute()  # plugins may change the directory
    data_dir, cache_dir = (p and p.absolute() for p in (data_dir, cache_dir))
    catalogue = Catalogue.discover()
    chosen = choose_executor(
        catalogue,
        executor,
        options,
        jobs=jobs,
        isolate=isolate,
        trial_timeout=trial_timeout,
        trial_memory=trial_memory,
        devices=devices,
    )
    check_device(device)
    choose_metrics(metrics, catalogue)
    planned = plan(**request, data_dir=data_dir, cache_dir=cache_dir, allow_partial=allow_partial)
    check_networks(planned, device, chunk, devices_per_trial)
    store = Store(output / RUNS)
    before = progress(planned, store, embeddings=keep_embeddings, metrics=metrics)
    settings = WorkerSettings(
        store.folder,
        data_dir,
        device,
        cache_dir,
        keep_embeddings,
        metrics=metrics,
        checkpoint_seconds=60 * checkpoint_minutes,
        chunk=chunk,
        devices_per_trial=devices_per_trial,
    )
    show_plan(planned, len(before.done), chosen.where(settings))
    cost = show_cost(planned, before, chosen, settings, probe=probe)
    if asked["everything"] and not asked["datasets"]:
        _show_other_datasets(make_suite(**request).datasets, data_dir, allow_partial)
    for reason in before.damaged:
        click.echo(f"Will run again: {reason}", err=True)
    if dry_run:
        click.echo(chosen.describe(settings, len(before.to_do)), nl=False)
        return
    for folder in (output / LEADERBOARDS, store.folder):
        Store(folder).check_writable()
    with stopping(chosen) as stop:
        hooks = [EpochLog(partial(stop.ask, signal.SIGPIPE))] if log else []
        records = run_plan(planned, settings, chosen, progress=not log, hooks=hooks, cost=cost)
    tables = None
    if records or not stop.signal:
        tables = _publish(output, typed)
        print_tables(records)
    if tables:
        click.echo("Leaderboards: " + ", ".join(map(str, tables)))
    _close(records, len(planned.trials), published=tables is not None, stopped_by=stop.signal)


def _executor_options(settings: dict[str, str]) -> dict[str, str]:
    """Take the options of the executor out of what ``--set`` sets, and return them by name."""
    mine = [key for key in settings if key.startswith("executor.")]
    return {key.removeprefix("executor."): settings.pop(key) for key in mine}


def _request(suite: Path | None, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what the options ask for, as arguments of `dmlbench.plan`."""
    request = {name: value for name, value in asked.items() if name != "everything"}
    request = {name: value or None for name, value in request.items()}
    if not asked["everything"]:
        return {"suite": suite, **request}
    if suite or any(request[kind] for kind in ("losses", "miners", "baselines")):
        from dmlbench.errors import ConfigError

        raise ConfigError(
            "--all runs every loss, miner and baseline: it goes with --dataset, --protocol, "
            "--sampler, --backbone, --seeds and --set, not with --suite, --loss, --miner or "
            "--baseline."
        )
    return {"suite": "all", **request}


def _show_other_datasets(
    chosen: Collection[str], data_dir: Path | None, allow_partial: bool
) -> None:
    """Show which datasets ``--all`` leaves out unless they are named, and how to get them."""
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.planning.planner import Planner

    planner = Planner(Catalogue.discover(), data_dir, allow_partial=allow_partial)
    ready, missing = planner.datasets()
    others = [name for name in ready if name not in chosen]
    if others:
        click.echo(f"Left out, but ready: --dataset {','.join(others)}")
    for reason in missing:
        click.echo(f"Left out: {reason}")
    click.echo()


def _publish(output: Path, typed: Path) -> list[Path] | None:
    """Write the tables of all records in `output`, and return the pages; None if that failed.

    Messages and pages name the folder as it was `typed`.
    """
    from dmlbench.api.publishing import publish
    from dmlbench.api.records import load_records
    from dmlbench.errors import DmlbenchError

    try:
        records = load_records(output / RUNS)
        for error in records.damaged:
            click.echo(f"dmlbench: left out: {error}", err=True)
        paths = publish(records, output / LEADERBOARDS).files
    except DmlbenchError as error:
        folders = ("--runs", str(typed / RUNS), "--output", str(typed / LEADERBOARDS))
        again = shlex.join(("dmlbench", "publish", *folders))
        click.echo(
            f"dmlbench: {error}\nThe records are kept. To make their leaderboards: {again}",
            err=True,
        )
        return None
    return [typed / path.relative_to(output) for path in paths if path.suffix == ".md"]


def _close(records: "Records", planned: int, *, published: bool, stopped_by: int | None) -> None:
    """Say what did not finish, and exit with the code that tells it."""
    failed = [record for record in records if record.status == "failed"]
    for reason in dict.fromkeys(f"{record.trial.label}: {record.reason}" for record in failed):
        click.echo(f"Failed: {reason}", err=True)
    if failed:
        click.echo(f"{len(failed)} of {counted(len(records), 'trial')} failed.", err=True)
    changed = [record for record in records if record.left_changed]
    for note in dict.fromkeys(f"{r.trial.label}: {', '.join(r.left_changed)}" for r in changed):
        click.echo(f"Left its process changed, which then ran no other trial: {note}", err=True)
    not_run = planned - len(records)
    if stopped_by:
        click.echo(
            f"dmlbench: stopped with {counted(not_run, 'trial')} to run. The same command goes on; "
            "trials that were under way go on where they were.",
            err=True,
        )
        raise SystemExit(128 + stopped_by)
    if not_run:
        click.echo(
            f"{counted(not_run, 'trial')} did not run. Run the same command again.", err=True
        )
    gone = records.vanished()
    if gone:
        were = "was" if len(gone) == 1 else "were"
        click.echo(
            f"{len(gone)} of {counted(len(records), 'record')} {were} removed from "
            f"{records.folder} during the run, so the tables lack them. The same command runs "
            "their trials again.",
            err=True,
        )
    if failed or not_run or gone or not published:
        raise SystemExit(1)
