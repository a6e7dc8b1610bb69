"""``dmlbench diff``: what changed between two sets of records, and which changes are real."""

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from dmlbench.audit.table_differences import Changes, RowDifference

_Path = click.Path(exists=True, path_type=Path)


@click.command("diff")
@click.argument("first", metavar="A", type=_Path)
@click.argument("second", metavar="B", type=_Path)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not tables.")
def command(first: Path, second: Path, as_json: bool) -> None:
    """Compare the records in A with those in B: folders of records, or single files.

    Rows are compared on the seeds that finished in both. A difference is called real by the paired
    t-test, with Holm's correction over all rows that were tested; see docs/records.md.
    """
    from dmlbench.api.auditing import diff
    from dmlbench.api.records import load_records

    sets = [load_records(path) for path in (first, second)]
    damaged = [error for records in sets for error in records.damaged]
    for error in damaged:
        click.echo(f"dmlbench: left out: {error}", err=True)
    found = diff(*sets)
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=1))
    else:
        _print(found)
    if damaged:
        raise SystemExit(1)


def _print(found: "Changes") -> None:
    from dmlbench.leaderboard.formats.terminal import default_console

    console = default_console()
    for title, rows in groupby(found.rows, key=lambda row: row.table):
        _print_table(title, list(rows), console)
    for what, pairs in (("versions", found.versions), ("settings", found.settings)):
        for name, (before, after) in pairs.items():
            _say(console, f"different {what}: {name} {before} -> {after}")
    text = "Interval: 95 %, for one row by itself. "
    if found.tested:
        text += f"Real: paired t-test, Holm's correction over the {found.tested} rows tested."
    else:
        text += "No row could be tested."
    _say(console, text)


def _print_table(title: str, rows: "list[RowDifference]", console: "Console") -> None:
    from rich import box
    from rich.table import Table

    from dmlbench.audit.table_differences import ONLY_FIRST, ONLY_SECOND
    from dmlbench.leaderboard.formats.terminal import readable
    from dmlbench.leaderboard.metric_names import display_name, percent

    both = [row for row in rows if row.first and row.second]
    heading = f"{title} · {display_name(both[0].metric)} in percent" if both else title
    heading_text = readable(heading, console.encoding)
    grid = Table(title=heading_text, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("Row", overflow="fold")
    for name in ("Seeds", "A", "B", "B - A"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("", min_width=12)
    for row in both:
        means = [f"{100 * mean:.2f}" for mean in row.means or ()] or ["", ""]
        apart = percent(row.difference) if row.difference else ""
        texts = (row.label, str(len(row.seeds)), *means, apart, row.verdict)
        grid.add_row(*(readable(text, console.encoding) for text in texts))
    console.print(grid if both else heading_text)
    for where in (ONLY_FIRST, ONLY_SECOND):
        labels = [row.label for row in rows if row.verdict == where]
        if labels:
            _say(console, f"{where}: {', '.join(labels)}")
    for texts, labels in _changes(both).items():
        whose = "all rows" if len(labels) == len(both) > 1 else ", ".join(labels)
        _say(console, f"changed in {whose}: {'; '.join(texts)}")


def _changes(rows: "list[RowDifference]") -> dict[tuple[str, ...], list[str]]:
    """Return the labels of the rows that share the same changes, by these changes."""
    changes: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row.changes:
            changes.setdefault(row.changes, []).append(row.label)
    return changes


def _say(console: "Console", text: str) -> None:
    from dmlbench.leaderboard.formats.terminal import readable

    console.print(readable(text, console.encoding))


def _as_json(found: "Changes") -> dict[str, Any]:
    return {
        "rows": [_row_as_json(row) for row in found.rows],
        "tested": found.tested,
        "versions": {name: list(pair) for name, pair in found.versions.items()},
        "settings": {name: list(pair) for name, pair in found.settings.items()},
    }


def _row_as_json(row: "RowDifference") -> dict[str, Any]:
    return {
        "table": row.table,
        "row": row.label,
        "verdict": row.verdict,
        "changes": list(row.changes),
        "metric": row.metric or None,
        "seeds": list(row.seeds),
        "means": list(row.means) if row.means else None,
        "difference": row.difference.mean if row.difference else None,
        "half_width": row.difference.half_width if row.difference else None,
        "p_value_holm": row.p_value,
    }
