"""``dmlbench plugin``: what authors of components need."""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dmlbench.cli.options import cache_dir_option, data_dir_option, device_option
from dmlbench.counted import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from dmlbench.testing.findings import Finding
    from dmlbench.testing.targets import Candidate

_WIDTH = 100
_OUTCOMES = ("passed", "failed", "warned", "skipped")


class _Report(NamedTuple):
    candidate: "Candidate"
    findings: "Sequence[Finding]"

    def count(self, outcome: str) -> int:
        return sum(finding.outcome == outcome for finding in self.findings)


@click.group("plugin")
def command() -> None:
    """Help authors of components."""


@command.command("check")
@click.argument("target")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a hyper-parameter for the check, such as weights=none.",
)
@data_dir_option
@click.option("--long", is_flag=True, help="Name every check, and say why any was skipped.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
def check(
    target: str, settings: tuple[str, ...], data_dir: Path | None, long: bool, as_json: bool
) -> None:
    """Check components against the contracts, and say what to fix; exit with 1 if one fails.

    TARGET is an installed distribution, a component such as `loss:triplet` or
    `backbone:timm/resnet18`, a file of your own (`./my_loss.py`), or a class (`my_module:MyLoss`).
    """
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.testing.targets import candidates

    found = candidates(target, Catalogue.discover())
    if settings and len(found) > 1:
        raise click.UsageError(f"--set goes with one component, and {target} has {len(found)}.")
    reports = _examine(found, _pairs(settings), data_dir)
    if as_json:
        click.echo(json.dumps(_as_plain(target, reports), indent=1))
    else:
        _print(reports, long)
    if any(report.count("failed") for report in reports):
        raise SystemExit(1)


@command.command("alias")
@click.argument("path", metavar="RECORD", type=click.Path(path_type=Path))
@click.option(
    "--renamed",
    multiple=True,
    metavar="KIND=NAME",
    help="What the component is called today, such as loss=soft-contrastive. Can be repeated.",
)
@data_dir_option
@cache_dir_option
@device_option
def alias(
    path: Path,
    renamed: tuple[str, ...],
    data_dir: Path | None,
    cache_dir: Path | None,
    device: str,
) -> None:
    """Keep the rows of code that was edited or renamed without a change to any figure.

    Runs the trial of RECORD, which was made with the code before. If it is equal to the bit, an
    alias goes into source_aliases.toml of the package: commit it with the edit.
    """
    from dmlbench.api.auditing import add_source_aliases

    for new in add_source_aliases(
        path, renamed=_pairs(renamed), data_dir=data_dir, cache_dir=cache_dir, device=device
    ):
        one, was = new.alias, new.alias.renamed
        before = f"{was.old_name} of {was.old_distribution}, " if was else ""
        click.echo(
            f"Equal to the bit: the {one.kind} {one.name} ({one.new[:7]}) goes on with the rows of "
            f"{before}{one.old[:7]}. Added to {new.path}."
        )


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    for text in settings:
        if "=" not in text:
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE.")
    return {key.strip(): value.strip() for key, _, value in (s.partition("=") for s in settings)}


def _examine(
    found: "list[Candidate]", settings: dict[str, str], data_dir: Path | None
) -> list[_Report]:
    """Check one candidate after the other, with a progress bar in a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from dmlbench.testing import checks

    values = [candidate.resolve(settings) for candidate in found]
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    reports = []
    with (
        redirect_stdout(sys.stderr),  # a plugin may print, and stdout may be JSON
        Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress,
    ):
        steps = sum(len(checks(c.entry.kind)) if c.component else 1 for c in found)
        bar = progress.add_task("", total=steps)
        for candidate, given in zip(found, values, strict=True):
            progress.update(bar, description=candidate.label)
            findings = []
            for finding in candidate.examine(given, data_dir):
                findings.append(finding)
                progress.advance(bar)
            reports.append(_Report(candidate, findings))
    return reports


def _as_plain(target: str, reports: list[_Report]) -> dict[str, Any]:
    return {
        "target": target,
        "components": [
            {
                "kind": candidate.entry.kind,
                "name": candidate.label.partition(" ")[2],
                "distribution": candidate.entry.distribution,
                "version": candidate.entry.version,
                **{outcome: report.count(outcome) for outcome in _OUTCOMES},
                "findings": [
                    {"check": each.check, "outcome": each.outcome, "text": each.text}
                    for each in findings
                ],
            }
            for report in reports
            for candidate, findings in [report]
        ],
    }


def _print(reports: list[_Report], long: bool) -> None:
    from textwrap import fill

    from rich.console import Console

    console = Console()
    if not console.is_terminal or console.width > _WIDTH:
        console = Console(width=_WIDTH)
    console.print(_table(reports, console), "")
    for report in reports:
        for title, style, text in _paragraphs(report, long):
            console.print(_text(f"{report.candidate.label}: {title}", console, style))
            if text:
                lines = fill(text, console.width, initial_indent="  ", subsequent_indent="  ")
                console.print(_text(f"{lines}\n", console))
    console.print(_text(_summary(reports), console, "bold"))


def _table(reports: list[_Report], console: "Console") -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Component", overflow="fold", min_width=24)
    for title in ("Passed", "Failed", "Advice", "Left out"):
        table.add_column(title, justify="right", no_wrap=True)
    for report in reports:
        counts = [report.count(outcome) for outcome in _OUTCOMES]
        style = "red" if report.count("failed") else ""
        cells = [str(count) if count else "-" for count in counts]
        table.add_row(
            _text(report.candidate.label, console, style),
            *(_text(cell, console, style) for cell in cells),
        )
    return table


def _paragraphs(report: _Report, long: bool) -> list[tuple[str, str, str]]:
    """Return title, style and text of each paragraph about a component."""
    said: list[tuple[str, str, str]] = []
    causes: set[str] = set()
    failed_first = sorted(report.findings, key=lambda finding: finding.outcome != "failed")
    for finding in report.findings if long else failed_first:
        if finding.outcome == "failed":
            if finding.cause and finding.cause in causes:
                said.append((finding.claim, "bold red", "Stopped by the same error as above."))
            else:
                said.append((finding.claim, "bold red", finding.text))
            causes.add(finding.cause)
        elif finding.outcome == "warned":
            said.append((f"{finding.claim} (advice)", "bold yellow", finding.text))
        elif long and finding.outcome == "skipped":
            said.append((f"{finding.claim} (left out)", "dim", finding.text))
        elif long:
            said.append((finding.claim, "green", ""))
    return said


def _summary(reports: list[_Report]) -> str:
    failed = sum(report.count("failed") > 0 for report in reports)
    left_out = sum(report.count("skipped") for report in reports)
    whole = counted(len(reports), "component")
    said = f"{failed} of {whole} to mend." if failed else f"{whole}, nothing to mend."
    return said + (f" {left_out} checks left out; --long says why." if left_out else "")


def _text(text: str, console: "Console", style: str = "") -> "Text":
    """Return `text` with only the characters that the terminal has, and no markup."""
    from rich.text import Text

    return Text(text.encode(console.encoding, "replace").decode(console.encoding), style)
