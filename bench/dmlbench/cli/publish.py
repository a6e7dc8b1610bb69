"""``dmlbench publish``: write leaderboards from records, or check those that are there."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dmlbench.api.defaults import LEADERBOARDS, RUNS
from dmlbench.cli.options import cache_dir_option, data_dir_option
from dmlbench.counted import counted

if TYPE_CHECKING:
    from dmlbench.audit.published_files import PublishedCheck


@click.command("publish")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=RUNS,
    show_default=True,
    help="Folder with records.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=LEADERBOARDS,
    show_default=True,
    help="Folder to write the leaderboards to.",
)
@click.option(
    "--html",
    "site",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also write a static site to FOLDER: open its index.html. Pictures of what is retrieved "
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
    """Write leaderboards (markdown, CSV, LaTeX, pictures).

    The same records give the same bytes.
    """
    from dmlbench.api.publishing import check_published, publish
    from dmlbench.api.records import load_records
    from dmlbench.errors import ConfigError

    if site and only_check:
        raise ConfigError("--check looks at the tables in --output; leave --html out.")
    records = load_records(runs)
    gc.freeze()  # they stay alive, and scanning them for garbage takes seconds
    for error in records.damaged:
        click.echo(f"dmlbench: left out: {error}", err=True)
    stale = False
    if only_check:
        findings = check_published(records, output)
        stale = bool(findings.stale)
        _report(findings, output, f"dmlbench publish --runs {runs} --output {output}")
    else:
        made = publish(records, output, html=site, data_dir=data_dir, cache_dir=cache_dir)
        files = counted(len(made.files), "file")
        click.echo(f"{counted(len(records), 'record')} -> {files} in {output}")
        if site:
            click.echo(f"A site of {counted(len(made.site), 'file')}: open {site / 'index.html'}")
    if records.damaged or stale:
        raise SystemExit(1)


def _report(findings: "PublishedCheck", output: Path, command: str) -> None:
    for path, reason in findings.stale.items():
        click.echo(f"stale: {output / path}: {reason}", err=True)
    if findings.stale:
        click.echo(
            f"{counted(len(findings.stale), 'stale file')}. Make them again: {command}", err=True
        )
        if findings.left_over:
            click.echo("Files that are left over are not deleted: delete them yourself.", err=True)
    line = f"{counted(len(findings.compared), 'file')} compared byte for byte"
    if findings.present:
        import matplotlib as mpl

        line += (
            f"; {counted(len(findings.present), 'picture')} only checked for presence, as "
            f"{'it does' if len(findings.present) == 1 else 'they do'} not say that the installed "
            f"matplotlib {mpl.__version__} drew {'it' if len(findings.present) == 1 else 'them'}"
        )
    click.echo(f"{line}.")
