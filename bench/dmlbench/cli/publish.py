"""``dmlbench publish``: leaderboards from the records that runs left."""

from pathlib import Path

import click


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
def command(runs: Path, output: Path) -> None:
    """Make leaderboards (markdown, CSV, pictures): from the same records the same bytes."""
    from dmlbench.discovery import Catalogue
    from dmlbench.errors import DataError
    from dmlbench.hooks import plugin_manager
    from dmlbench.leaderboard.publish import publish
    from dmlbench.records import Store

    records, damaged = Store(runs).read_all()
    for error in damaged:
        click.echo(f"dmlbench: left out: {error}", err=True)
    if not records:
        raise DataError(f"There are no records in {runs}. Make some with `dmlbench run`.")
    paths = publish(records, output, columns=plugin_manager(Catalogue.discover()))
    click.echo(f"{len(records)} records -> {len(paths)} files in {output}")
    if damaged:
        raise SystemExit(1)
