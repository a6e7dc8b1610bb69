"""``dmlbench merge``: import somebody else's records, each after a check."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dmlbench.api.defaults import RUNS
from dmlbench.cli.options import cache_dir_option, data_dir_option
from dmlbench.counted import counted

if TYPE_CHECKING:
    from dmlbench.audit.merge import CheckedFile


@click.command("merge")
@click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=RUNS,
    show_default=True,
    help="Folder with your records.",
)
@click.option(
    "--allow-other-data",
    is_flag=True,
    help="Accept records on data that differ from yours; they make tables of their own.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show what would be imported, without writing anything."
)
@data_dir_option
@cache_dir_option
def command(
    folder: Path,
    into: Path,
    allow_other_data: bool,
    dry_run: bool,
    data_dir: Path | None,
    cache_dir: Path | None,
) -> None:
    """Copy the records in DIR to yours, each after a check; exit with 1 if any is refused.

    The check covers schema and identity, the data, the source of the components, and the metrics,
    which are recomputed from the per-query results. See docs/records.md.
    """
    from dmlbench.api.auditing import merge

    findings = merge(
        folder,
        into,
        allow_other_data=allow_other_data,
        dry_run=dry_run,
        data_dir=data_dir,
        cache_dir=cache_dir,
    )
    _report(findings, into, dry_run)
    if any(found.refused for found in findings):
        raise SystemExit(1)


def _report(findings: "Sequence[CheckedFile]", into: Path, dry_run: bool) -> None:
    from dmlbench.leaderboard.formats.escaping import plain

    notes = Counter(plain(note, 300) for found in findings for note in found.notes)
    for note, number in notes.items():
        click.echo(f"{note} ({counted(number, 'record')})")
    refused = [found for found in findings if found.refused]
    for found in refused:
        path = plain(str(found.path), 300)
        click.echo(f"refused: {path}: {plain(found.refused, 400)}", err=True)
    there = sum(found.is_there for found in findings)
    taken = len(findings) - there - len(refused)
    would = "would be imported" if dry_run else "imported"
    click.echo(
        f"{counted(taken, 'record')} {would}, {there} already there, {len(refused)} refused."
    )
    if taken and not dry_run:
        click.echo(f"Make the tables: dmlbench publish --runs {into}")
