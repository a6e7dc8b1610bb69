"""``dmlbench data``: list datasets, prepare one, look for damage, or clean the cache."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmlbench.cli.options import cache_dir_option, data_dir_option
from dmlbench.counted import counted

if TYPE_CHECKING:
    from dmlbench.contracts.components import Dataset
    from dmlbench.data.prepare.checksums import Progress


def _settings(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Read ``part=small``, or ``dataset.part=small`` as `dmlbench run` has it."""
    pairs = [value.partition("=") for value in values]
    for key, equals, _ in pairs:
        if not equals:
            raise click.BadParameter(f"{key!r} is not of the form part=small.")
    return {key.strip().removeprefix("dataset."): text.strip() for key, _, text in pairs}


_settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="NAME=VALUE",
    help="Set a hyper-parameter of the dataset.",
)
_partial_option = click.option(
    "--allow-partial", is_flag=True, help="Accept a dataset of which only a part is here."
)


@click.group("data")
def command() -> None:
    """List datasets, prepare one, look for damage, or clean the cache.

    Nothing is downloaded: prepare takes what you have. See docs/data.md.
    """


@command.command("list")
@data_dir_option
def list_datasets(data_dir: Path | None) -> None:
    """List all datasets: ready or not, content, licence, citation, and how to get each."""
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.data.prepare.availability import overview
    from dmlbench.errors import PluginError

    catalogue = Catalogue.discover()
    references = catalogue.references("dataset")
    width = max(map(len, references), default=0)
    for reference in references:
        try:
            found, component = catalogue.load("dataset", reference)
            about = overview(found.entry, component, data_dir)
        except PluginError as error:
            click.echo(f"{reference:<{width}}  BROKEN: {error}")
            continue
        click.echo(f"{reference:<{width}}  {about.state}")
        for line in about.details:
            click.echo(f"{'':<{width}}    {line}")


@command.command("prepare")
@click.argument("name")
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An archive, or a folder with the archives or with the unpacked set. Repeat it.",
)
@data_dir_option
@_settings_option
@_partial_option
@click.option(
    "--allow-unverified", is_flag=True, help="Accept archives that are not the official ones."
)
def prepare(
    name: str,
    sources: tuple[Path, ...],
    data_dir: Path | None,
    settings: dict[str, str],
    allow_partial: bool,
    allow_unverified: bool,
) -> None:
    """Check and unpack the archives of the dataset NAME into the data folder."""
    from dmlbench.data.prepare.prepare import Preparation
    from dmlbench.errors import ConfigError

    folder, dataset = _make(name, settings, allow_partial)
    if not dataset.archives:
        raise ConfigError(f"There is nothing to prepare for {name}: see dmlbench data list.")
    if data_dir is None:
        raise ConfigError("Name the data folder with --data-dir or the variable DMLBENCH_DATA.")
    with _progress() as progress:
        Preparation(
            name=folder,
            dataset=dataset,
            data_dir=data_dir,
            sources=sources,
            allow_unverified=allow_unverified,
            say=lambda text: click.echo(text, err=True),
            progress=progress,
        ).run()


@command.command("verify")
@click.argument("name")
@data_dir_option
@_settings_option
@_partial_option
def verify(name: str, data_dir: Path | None, settings: dict[str, str], allow_partial: bool) -> None:
    """Count and open all images of the dataset NAME; exit with 1 if any is damaged."""
    from dmlbench.data.prepare.prepare import unverified
    from dmlbench.data.prepare.verify import verify
    from dmlbench.errors import DataError

    folder, dataset = _make(name, settings, allow_partial)
    try:
        with _progress() as progress:
            found = verify(dataset, data_dir, progress)
    except DataError as error:
        click.echo(f"{name}: {error}", err=True)
        raise SystemExit(1) from error
    for split, (items, classes) in found.counts.items():
        of = counted(classes, "class", "classes")
        click.echo(f"{split}: {counted(items, 'item')} of {of}")
    click.echo(f"split fingerprint: {found.fingerprint}")
    for source in unverified(data_dir / folder) if data_dir else ():
        click.echo(f"unverified: made from {source}, which is not known to be an official archive")
    for remark in found.remarks:
        click.echo(f"note: {remark}")
    for line in found.damaged:
        click.echo(f"damaged: {line}", err=True)
    if found.damaged:
        click.echo(
            f"{len(found.damaged):,} damaged files. Replace them with the official ones.", err=True
        )
        raise SystemExit(1)
    click.echo("All images open.")


@command.command("clean")
@cache_dir_option
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="DAYS",
    help="Only what nobody has read for so long, as far as the file system notes it.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def clean(cache_dir: Path | None, days: float, yes: bool) -> None:
    """Remove decoded photos and features from the cache; runs make them again when they need them.

    Copies of datasets are not touched.
    """
    from dmlbench.errors import ConfigError
    from dmlbench.storage.cache import cache_folder
    from dmlbench.storage.cache_contents import KINDS, cached_files, remove, size_text

    cache = cache_folder(cache_dir)
    files = cached_files(cache, days)
    for kind, what in KINDS.items():
        sizes = [file.size for file in files if file.kind == kind]
        click.echo(f"{what}: {counted(len(sizes), 'file')}, {size_text(sum(sizes))}")
    if not files:
        click.echo(f"There is nothing to remove in {cache}.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("Nobody is there to ask: say --yes to remove these files.")
        click.confirm(f"Remove them from {cache}?", abort=True)
    click.echo(f"{size_text(remove(files))} freed.")


def _make(name: str, settings: dict[str, Any], allow_partial: bool) -> "tuple[str, Dataset]":
    """Return the name of the dataset's folder, and the dataset."""
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.composition import compose

    composition = compose(Catalogue.discover(), "dataset", name)
    (ingredient,) = composition.ingredients
    if allow_partial and "partial" in ingredient.hyperparameters():
        settings = {"partial": True, **settings}
    (dataset,) = composition.make("dataset", composition.resolve("dataset", settings))
    return ingredient.entry.name, dataset


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Yield a function that shows progress; without a terminal it shows nothing."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    bars = Bars(console=Console(stderr=True), transient=True)
    if not bars.console.is_terminal:
        yield lambda what, done, total: None
        return
    tasks: dict[str, Any] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done)

    with bars:
        yield show
