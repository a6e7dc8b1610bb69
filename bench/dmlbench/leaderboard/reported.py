"""What papers report beside what was reproduced, for tables of the same protocol and data."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from dmlbench.leaderboard.metric_names import display_name, percent
from dmlbench.leaderboard.ranking_cells import NOTHING, Cells
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.base import Schema, read_toml
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import load_protocol

_FIELDS = {"step_epochs": "optimiser.step_epochs"}
"""Fields whose change a protocol's name may state, as `Protocol.change` takes them."""


class PaperSource(Schema):
    """Where figures come from."""

    paper: str
    place: str
    """Which table of the paper, and of what."""
    provenance: str
    """Where the table was read, if not in the paper itself."""

    def __str__(self) -> str:
        return f"{self.paper}: {self.place}. Read in: {self.provenance}."


class ReportedRow(Schema):
    """The figures of one method on one dataset."""

    source: str
    """Key among the sources."""
    protocol: str
    """Name of the shipped protocol that follows the paper, with changes written as in tables."""
    dataset: str
    loss: str
    miner: str = ""
    """Empty if the source names none; it then applies to every miner."""
    metrics: dict[str, float]
    """In percent, as printed."""

    @property
    def fractions(self) -> dict[str, float]:
        """Return the metrics as fractions of 1."""
        return {name: round(value / 100, 6) for name, value in self.metrics.items()}

    def resolved(self) -> Protocol:
        """Return the protocol that a table must have.

        Raises:
            ConfigError: there is no such protocol.
        """
        name, *changes = self.protocol.split("+")
        protocol = load_protocol(name, dataset=self.dataset)
        for change in changes:
            field, _, value = change.partition("=")
            protocol = protocol.change(_FIELDS[field], value)
        return protocol


class Reported(Schema):
    """All that is reported."""

    sources: dict[str, PaperSource]
    entries: tuple[ReportedRow, ...]


@cache
def reported() -> Reported:
    """Return the figures in ``reported.toml``.

    Raises:
        ConfigError: the file is damaged.
    """
    return read_toml(Reported, files("dmlbench.leaderboard") / "reported.toml")


def reported_rows(table: Table) -> Mapping[str, ReportedRow]:
    """Return the reported figures for rows of `table`, by the row's id.

    Only rows with the loss's defaults and the protocol's backbone count, on the whole dataset with
    its default settings.
    """
    if table.partial or table.dataset.changed or table.dataset.distribution != "dmlbench":
        return {}
    identity = table.protocol.identity()
    entries = [
        entry
        for entry in reported().entries
        if entry.dataset == table.dataset.name and entry.resolved().identity() == identity
    ]
    found = ((row, entry) for entry in entries for row in table.trained if _is_of(entry, row))
    return {row.id: entry for row, entry in found}


def reported_cells(table: Table) -> tuple[Cells, list[str]] | None:
    """Return the figures of papers beside those of the table, and the sources by number.

    None if no figures are reported for any row.
    """
    entries = reported_rows(table)
    if not entries:
        return None
    metrics = [name for name in table.metrics if any(name in e.metrics for e in entries.values())]
    sources = list(dict.fromkeys(entry.source for entry in entries.values()))
    headings, lines = ["Row"], []
    for name in map(display_name, metrics):
        headings += [f"{name} reported", f"{name} reproduced"]
    for row in table.rows:
        if entry := entries.get(row.id):
            line = [row.label]
            for name in metrics:
                figure = f"{entry.metrics[name]:.2f}" if name in entry.metrics else NOTHING
                line += [figure, percent(row.metrics.get(name))]
            unsaid = ", which names no miner" if "miner" in row.names and not entry.miner else ""
            lines.append([*line, f"({sources.index(entry.source) + 1}){unsaid}"])
    footnotes = [str(reported().sources[name]) for name in sources]
    return Cells([*headings, "Source"], lines, range(1, len(headings))), footnotes


def _is_of(entry: ReportedRow, row: Row) -> bool:
    parts = row.trial.parts
    loss, backbone = parts.get("loss"), parts.get("backbone")
    if loss is None or (loss.name, loss.distribution) != (entry.loss, "dmlbench"):
        return False
    protocol = row.trial.protocol
    if backbone is None or backbone.reference != protocol.backbone:
        return False
    own = {name: value for name, value in backbone.changed.items() if name not in backbone.files}
    if any(protocol.backbone_settings.get(name) != value for name, value in own.items()):
        return False
    miner = parts["miner"].name if "miner" in parts else ""
    return (not entry.miner or entry.miner == miner) and not row.changed
