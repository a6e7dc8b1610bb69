"""``dmlbench publish``: leaderboards from the records that runs left, or a check of them."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dmlbench.cli.options import cache_dir_option, data_dir_option

if TYPE_CHECKING:
    from dmlbench.audit.published_files import PublishedCheck
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.data.items import Data
    from dmlbench.schemas.trial import Trial
    from dmlbench.site.kept_embeddings import ReadData


@click.command("publish")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder with records.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("leaderboards"),
    show_default=True,
    help="Folder to write the leaderboards to.",
)
@click.option(
    "--html",
    "site",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write a static site to FOLDER, too: open its index.html. Pictures of what is retrieved "
    "need the embeddings (run --keep-embeddings) and the data.",
)
@data_dir_option
@cache_dir_option
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Write nothing; exit with 1 if the leaderboards are not what the records give.",
)
def command(
    runs: Path,
    output: Path,
    site: Path | None,
    data_dir: Path | None,
    cache_dir: Path | None,
    only_check: bool,
) -> None:
    """Make leaderboards (markdown, CSV, LaTeX, pictures): from the same records the same bytes."""
    from dmlbench.audit.published_files import check
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.hook_plugins import plugin_manager
    from dmlbench.errors import ConfigError, DataError
    from dmlbench.leaderboard.publish import table_files, write_files
    from dmlbench.leaderboard.tables import make_tables
    from dmlbench.storage.record_store import Store

    if site and only_check:
        raise ConfigError("--check looks at the tables in --output; leave --html out.")
    store, catalogue = Store(runs), Catalogue.discover()
    records, damaged = store.read_all()
    gc.freeze()  # they stay: looking for garbage among them takes seconds
    for error in damaged:
        click.echo(f"dmlbench: left out: {error}", err=True)
    if not records:
        raise DataError(f"There are no records in {runs}. Make some with `dmlbench run`.")
    tables = make_tables(records, columns=plugin_manager(catalogue))
    texts = table_files(tables)
    stale = False
    if only_check:
        findings = check(texts, output)
        stale = bool(findings.stale)
        _report(findings, output, f"dmlbench publish --runs {runs} --output {output}")
    else:
        paths = write_files(texts, output)
        click.echo(f"{len(records)} records -> {len(paths)} files in {output}")
    if site:
        from dmlbench.site import write_site

        data = _data_reader(catalogue, data_dir, cache_dir)
        pages = write_site(tables, site, embeddings=store.embeddings, data=data)
        click.echo(f"A site of {len(pages)} files: open {site / 'index.html'}")
    if damaged or stale:
        raise SystemExit(1)


def _data_reader(
    catalogue: "Catalogue", data_dir: Path | None, cache_dir: Path | None
) -> "ReadData":
    """Return what gives the data of a trial, or None where they are not at hand."""
    from dmlbench.components.workplace import Workplace
    from dmlbench.data.photos.decoding import PhotoFormat
    from dmlbench.errors import DmlbenchError
    from dmlbench.schemas.trial import canonical_json
    from dmlbench.trials.run_trial import load_once

    def read(trial: "Trial") -> "Data | None":
        asked = (trial.dataset.reference, canonical_json(trial.dataset.settings))
        try:
            return load_once(workplace, *asked, PhotoFormat.of(trial.protocol))[1]
        except DmlbenchError:
            return None

    import torch

    workplace = Workplace(catalogue, data_dir, torch.device("cpu"), cache_dir)
    return read


def _report(findings: "PublishedCheck", output: Path, command: str) -> None:
    for path, reason in findings.stale.items():
        click.echo(f"stale: {output / path}: {reason}", err=True)
    if findings.stale:
        click.echo(f"{len(findings.stale)} stale files. Make them again: {command}", err=True)
        if findings.left_over:
            click.echo("What is left over is yours to delete.", err=True)
    line = f"{len(findings.compared)} files compared byte for byte"
    if findings.present:
        import matplotlib as mpl

        line += (
            f"; of {len(findings.present)} pictures only the presence, as they do not "
            f"say that the installed matplotlib {mpl.__version__} drew them"
        )
    click.echo(f"{line}.")
