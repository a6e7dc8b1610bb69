"""``dmlbench run``: plan, show the plan, run, and write the leaderboards."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dmlbench.cli.options import (
    cache_dir_option,
    data_dir_option,
    metrics_option,
    output_option,
)

if TYPE_CHECKING:
    from pluggy import PluginManager

    from dmlbench.planning.planner import Planner
    from dmlbench.schemas.plan import Plan
    from dmlbench.schemas.record import Record
    from dmlbench.schemas.suite import Suite
    from dmlbench.schemas.trial import Trial
    from dmlbench.storage.record_store import Store

_ALL = "all"
_MOST_SEEDS = 10_000
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
    """Return `text`; a variable of the shell that is not set must not mean everything there is."""
    if not text.strip():
        raise click.BadParameter("it names nothing.")
    return text.strip()


def _seeds(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """Read ``5`` as the seeds 0 to 4, and ``3,7`` as these two."""
    if value is None:
        return None
    try:
        numbers = [int(part) for part in value.split(",") if part]
    except ValueError:
        numbers = []
    if numbers and "," not in value:
        if numbers[0] > _MOST_SEEDS:
            raise click.BadParameter(f"{value} seeds are more than {_MOST_SEEDS:,}.")
        numbers = list(range(numbers[0]))
    if not numbers or min(numbers) < 0:
        raise click.BadParameter(f"{value!r} is neither a number of seeds nor a list such as 3,7.")
    return tuple(numbers)


def _settings(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for key, equals, _ in pairs:
        if not equals or "." not in key:
            raise click.BadParameter(f"{key!r} is not of the form loss.margin=0.3.")
    return {key.strip(): text.strip() for key, _, text in pairs}


@click.command("run")
@click.option("--all", "everything", is_flag=True, help="All losses, miners and baselines.")
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
@click.option("--jobs", type=click.IntRange(0), help="Worker processes; 0: none, run right here.")
@click.option(
    "--allow-partial",
    is_flag=True,
    help="Take datasets that are here in part; the tables say so.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 …")
@click.option(
    "--keep-embeddings",
    is_flag=True,
    help="Write the test embeddings beside each record, for pictures of what is retrieved.",
)
@metrics_option
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("--log", is_flag=True, help="Print a line for each epoch of each trial.")
def command(
    suite: Path | None,
    data_dir: Path | None,
    cache_dir: Path | None,
    output: Path,
    executor: str | None,
    jobs: int | None,
    allow_partial: bool,
    device: str,
    keep_embeddings: bool,
    metrics: tuple[str, ...],
    dry_run: bool,
    log: bool,
    **asked: Any,
) -> None:
    """Train, evaluate, and write leaderboards to the current directory.

    What is finished already is not run again: the same command goes on where it was stopped.
    """
    options = _executor_options(asked["settings"])
    wanted = _suite(suite, asked)

    from dmlbench.cli.progress import EpochLog, ProgressDisplay, decoding_display
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.hook_plugins import plugin_manager
    from dmlbench.components.metrics import choose_metrics
    from dmlbench.compute.device import pick_device
    from dmlbench.contracts.executor import WorkerSettings
    from dmlbench.executors.choice import choose_executor
    from dmlbench.executors.run import progress, run
    from dmlbench.leaderboard.formats.terminal import print_tables
    from dmlbench.planning.planner import Planner
    from dmlbench.storage.record_store import Store

    store = Store(output / "runs")
    catalogue = Catalogue.discover()
    chosen = choose_executor(catalogue, executor, options, jobs=jobs)
    pick_device(device)
    with decoding_display() as on_progress:
        planner = Planner(catalogue, data_dir, cache_dir, on_progress, allow_partial)
        plan = planner.unfold(wanted)
    choose_metrics(metrics, catalogue)
    before = progress(plan, store, embeddings=keep_embeddings, metrics=metrics)
    settings = WorkerSettings(
        store.folder, data_dir, device, cache_dir, keep_embeddings, metrics=metrics
    )
    _show(plan, len(before.done), chosen.where(settings))
    if asked["everything"] and not asked["datasets"]:
        _show_other_datasets(wanted, planner)
    for reason in before.damaged:
        click.echo(f"Will run again: {reason}", err=True)
    if dry_run:
        return
    for folder in (output / "leaderboards", store.folder):
        Store(folder).check_writable()
    hooks = plugin_manager(catalogue)
    hooks.register(EpochLog() if log else ProgressDisplay(len(before.to_do)))
    records = run(plan, settings, hooks, chosen)
    print_tables(records)
    published = _publish(store, output / "leaderboards", hooks)
    _close(records, len(plan.trials), published)


def _executor_options(settings: dict[str, str]) -> dict[str, str]:
    """Take the options of the executor out of what ``--set`` sets, and return them by name."""
    mine = [key for key in settings if key.startswith("executor.")]
    return {key.removeprefix("executor."): settings.pop(key) for key in mine}


def _suite(path: Path | None, asked: dict[str, Any]) -> "Suite":
    """Return the suite that the options describe: changes to that of ``--suite`` or ``--all``."""
    from dmlbench.errors import ConfigError
    from dmlbench.schemas.base import validate
    from dmlbench.schemas.suite import Suite, default_suite, load_suite

    chosen = {kind: asked[kind] for kind in ("losses", "miners", "baselines") if asked[kind]}
    if asked["everything"] and (chosen or path):
        raise ConfigError(
            "--all runs every loss, miner and baseline: it goes with --dataset, --protocol, "
            "--sampler, --backbone, --seeds and --set, not with --suite, --loss, --miner or "
            "--baseline."
        )
    if not (asked["everything"] or path or chosen or asked["datasets"]):
        raise ConfigError(
            "Say what to run: --all for everything on the data that ship with dmlbench, or name "
            "a --dataset, a --loss, a --miner, a --baseline or a --suite."
        )
    base = load_suite(path) if path else default_suite()
    plain = ("datasets", "protocol", "samplers", "backbone", "seeds")
    changes = {key: asked[key] for key in plain if asked[key]}
    if asked["settings"]:
        changes["settings"] = {**base.settings, **asked["settings"]}
    if chosen:
        changes["losses"] = _all_or(chosen.get("losses", ()))
        changes["miners"] = chosen.get("miners", "default")
        changes["baselines"] = _baselines(chosen)
        if "miners" in chosen and "losses" not in chosen:
            raise ConfigError("--miner needs a --loss to go with, such as --loss triplet.")
    return validate(Suite, {**base.model_dump(), **changes}, "The request")


def _all_or(names: tuple[str, ...]) -> Any:
    return _ALL if names == (_ALL,) else names


def _baselines(chosen: dict[str, tuple[str, ...]]) -> Any:
    """Return the baselines asked for; the floors if only losses were."""
    if "baselines" not in chosen:
        return "floors"
    return () if chosen["baselines"] == ("none",) else _all_or(chosen["baselines"])


def _show(plan: "Plan", done: int, where: str) -> None:
    for table, trials in _by_table(plan).items():
        rows = list(dict.fromkeys(trial.label for trial in trials))
        seeds = sorted({trial.seed for trial in trials})
        click.echo(f"{table}: {len(rows)} rows x {len(seeds)} seeds = {len(trials)} trials")
        click.echo(_wrapped(rows))
    for reason in plan.left_out:
        click.echo(f"Left out: {reason}")
    rest = f"{len(plan.trials) - done} trials to run, {done} finished before"
    click.echo(f"{rest}; {where}.\n")


def _by_table(plan: "Plan") -> "dict[str, list[Trial]]":
    tables: dict[str, list[Trial]] = {}
    for trial in plan.trials:
        name = f"{trial.dataset}, protocol {trial.protocol.name}"
        tables.setdefault(name, []).append(trial)
    return tables


def _show_other_datasets(suite: "Suite", planner: "Planner") -> None:
    """Say which datasets ``--all`` leaves out unless they are named, and how to get them."""
    ready, missing = planner.datasets()
    others = [name for name in ready if name not in suite.datasets]
    if others:
        click.echo(f"Left out, but ready: --dataset {','.join(others)}")
    for reason in missing:
        click.echo(f"Left out: {reason}")
    click.echo()


def _wrapped(rows: list[str]) -> str:
    from textwrap import fill

    return fill(
        ", ".join(rows), 96, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _publish(store: "Store", folder: Path, hooks: "PluginManager") -> bool:
    """Write the tables of all records; return whether that went well: what ran, ran."""
    from dmlbench.errors import DmlbenchError
    from dmlbench.leaderboard.publish import publish

    found, damaged = store.read_all()
    for error in damaged:
        click.echo(f"dmlbench: left out: {error}", err=True)
    try:
        paths = publish(found, folder, columns=hooks)
    except DmlbenchError as error:
        words = ("dmlbench", "publish", "--runs", str(store.folder), "--output", str(folder))
        again = f"The records are kept. Make their leaderboards by: {shlex.join(words)}"
        click.echo(f"dmlbench: {error}\n{again}", err=True)
        return False
    tables = [path for path in paths if path.suffix == ".md"]
    click.echo("Leaderboards: " + ", ".join(map(str, tables)))
    return True


def _close(records: "list[Record]", planned: int, published: bool) -> None:
    failed = [record for record in records if record.status == "failed"]
    for reason in dict.fromkeys(f"{record.trial.label}: {record.reason}" for record in failed):
        click.echo(f"Failed: {reason}", err=True)
    if failed:
        click.echo(f"{len(failed)} of {len(records)} trials failed.", err=True)
    not_run = planned - len(records)
    if not_run:
        click.echo(f"{not_run} trials did not run. The same command runs them.", err=True)
    if failed or not_run or not published:
        raise SystemExit(1)
