"""``dmlbench reproduce``: run the trials of records again, and compare."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dmlbench.cli.options import cache_dir_option, data_dir_option, device_option, jobs_option

if TYPE_CHECKING:
    from rich.console import Console

    from dmlbench.audit.reproduce import Reproduction


@click.command("reproduce")
@click.argument(
    "paths", metavar="RECORD...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@data_dir_option
@cache_dir_option
@jobs_option
@device_option
def command(
    paths: tuple[Path, ...],
    data_dir: Path | None,
    cache_dir: Path | None,
    jobs: int | None,
    device: str,
) -> None:
    """Run the trial of each RECORD (a file) again and compare; nothing is written.

    Figures must be equal to the bit on the record's platform, and close on another one; see
    docs/records.md. Exits with 0 if all are, 1 if not, 2 if a trial can't be run again here.
    """
    from dmlbench.api.auditing import reproduce_all

    found = reproduce_all(paths, data_dir=data_dir, cache_dir=cache_dir, device=device, jobs=jobs)
    _show(found)
    if not all(each.reproduced for each in found):
        raise SystemExit(1)


def _show(found: "list[Reproduction]") -> None:
    from dmlbench.leaderboard.formats.terminal import default_console, readable

    console = default_console()
    for each in found:
        console.print(readable(_verdict(each), console.encoding))
        for title, pairs in (("platform", each.platform), ("versions", each.versions)):
            for name, (before, after) in pairs.items():
                line = f"  different {title}: {name} {before} in the record, {after} here"
                console.print(readable(line, console.encoding))
        if each.differences:
            _table(each, console)


def _verdict(each: "Reproduction") -> str:
    from dmlbench.audit.reproduce import TOLERANCE
    from dmlbench.leaderboard.formats.escaping import plain

    name = plain(str(each.record.trial), 160)
    if each.to_the_bit:
        return f"Reproduced to the bit: {name}"
    apart = f"test metrics within {each.farthest:.4f}"
    if each.reproduced:
        return f"Reproduced on another platform, {apart} (tolerance {TOLERANCE:g}): {name}"
    if each.platform:
        return f"NOT reproduced, {apart} (tolerance {TOLERANCE:g}): {name}"
    return f"NOT reproduced to the bit, on the same platform as far as the record tells: {name}"


def _table(each: "Reproduction", console: "Console") -> None:
    from rich import box
    from rich.table import Table

    from dmlbench.leaderboard.formats.escaping import plain
    from dmlbench.leaderboard.formats.terminal import readable

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("What differs", "Record", "Again"):
        table.add_column(heading, overflow="fold")
    table.add_column("Difference", justify="right")
    for one in each.differences:
        texts = [plain(str(value), 200) for value in (one.field, one.first, one.second)]
        apart = ""
        if isinstance(one.first, float) and isinstance(one.second, float):
            apart = f"{one.second - one.first:+.2g}"
        table.add_row(*(readable(text, console.encoding) for text in (*texts, apart)))
    console.print(table)
