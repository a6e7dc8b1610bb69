"""``dmlbench publish``: leaderboards from the records that runs left, or a check of them."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dmlbench.leaderboard.checking import Findings


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
    "--check",
    "only_check",
    is_flag=True,
    help="Write nothing; exit with 1 if the leaderboards are not what the records give.",
)
def command(runs: Path, output: Path, only_check: bool) -> None:
    """Make leaderboards (markdown, CSV, pictures): from the same records the same bytes."""
    from dmlbench.discovery import Catalogue
    from dmlbench.errors import DataError
    from dmlbench.hooks import plugin_manager
    from dmlbench.leaderboard.checking import check
    from dmlbench.leaderboard.publish import files_by_path, publish
    from dmlbench.records import Store

    records, damaged = Store(runs).read_all()
    gc.freeze()  # they stay: looking for garbage among them takes seconds
    for error in damaged:
        click.echo(f"dmlbench: left out: {error}", err=True)
    if not records:
        raise DataError(f"There are no records in {runs}. Make some with `dmlbench run`.")
    columns = plugin_manager(Catalogue.discover())
    stale = False
    if only_check:
        findings = check(files_by_path(records, columns=columns), output)
        stale = bool(findings.stale)
        _report(findings, output, f"dmlbench publish --runs {runs} --output {output}")
    else:
        paths = publish(records, output, columns=columns)
        click.echo(f"{len(records)} records -> {len(paths)} files in {output}")
    if damaged or stale:
        raise SystemExit(1)


def _report(findings: "Findings", output: Path, command: str) -> None:
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
