"""A table as JSON, at full precision: the classes here are its schema.

Metrics, differences and half-widths are fractions of 1. Texts are plain, not escaped for any
format.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal

from dmlbench.leaderboard.commands import row_command, table_command
from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, plain
from dmlbench.leaderboard.new_classes import NewClasses
from dmlbench.leaderboard.protocol_facts import provenance
from dmlbench.leaderboard.reported import reported, reported_rows
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.base import Schema
from dmlbench.schemas.trial import ROW_KINDS
from dmlbench.statistics import Estimate


class Figure(Schema):
    """A mean over seeds, or a mean difference, with half the width of its 95 % interval."""

    mean: float | None
    """None if it is no finite number."""
    half_width: float | None
    """None for a single seed."""
    n: int
    """Seeds."""


class OtherClasses(Schema):
    """A row among others, in a claim about new seeds and new test classes."""

    test_class_half_width: float
    """Of the row's mean over its seeds."""
    group: str
    behind_best: Figure


class Reference(Schema):
    """What a paper reports of a row."""

    metrics: dict[str, float]
    source: str


class RowDocument(Schema):
    """A row."""

    label: str
    kind: Literal["trained", "baseline", "failed"]
    parts: dict[str, str]
    """Names of baseline, or of loss, miner, sampler and backbone."""
    hyperparameters: str
    embedding_dim: int
    reducer: str
    own_lr: str
    origin: str
    """Distributions and versions."""
    seeds: dict[Literal["finished", "failed", "collapsed"], list[int]]
    metrics: dict[str, Figure]
    """On test, of the epoch that counts."""
    last_epoch_metrics: dict[str, Figure]
    selected_epochs: list[int]
    """One a finished seed."""
    group: str
    """``best``: can't be told from the best; ``worse``; or empty: not compared."""
    behind_best: Figure | None
    new_classes: OtherClasses | None
    over_floors: dict[str, Figure]
    below_floors: dict[str, list[str]]
    reported: Reference | None
    seconds: float | None
    """Mean of a trial."""
    counts: dict[str, list[float]]
    """Weights of network and loss, items: all values that the seeds have."""
    extra: dict[str, str]
    """Columns of plugins."""
    reasons: list[str]
    """Why seeds failed."""
    row_id: str
    trial_ids: list[str]
    command: str


class LaneDocument(Schema):
    """How the trained rows of one backbone were compared."""

    backbone: str
    seeds: list[int]
    detectable: float | None
    """Least difference of two rows of ordinary noise that can be told; None if none can."""
    detectable_new_classes: float | None
    test_classes: int | None
    """Those that were resampled; None if there are no figures on new classes."""
    says: list[str]


class TableDocument(Schema):
    """A table."""

    format: Literal["dmlbench table"] = "dmlbench table"
    version: Literal[1] = 1
    """Raised when fields change their meaning or go."""
    title: str
    dataset: str
    partial_data: bool
    fingerprint: str
    protocol: str
    protocol_fields: dict[str, Any]
    headline: str | None
    """The metric that rows are ordered and compared by."""
    lanes: list[LaneDocument]
    rows: list[RowDocument]
    notes: list[str]
    made_with: dict[str, str]
    command: str


def to_json(table: Table) -> str:
    """Return `table` as JSON, in the form of `TableDocument`."""
    return document(table).model_dump_json(indent=1) + "\n"


def document(table: Table) -> TableDocument:
    """Return all that is known of `table`."""
    return TableDocument(
        title=table.title,
        dataset=plain(str(table.dataset)),
        partial_data=table.partial,
        fingerprint=plain(table.fingerprint, 100),
        protocol=plain(table.protocol.name),
        protocol_fields=table.protocol.identity(),
        headline=table.headline,
        lanes=[_lane(table, backbone) for backbone in table.rankings],
        rows=[_row(table, row) for row in table.rows],
        notes=list(table.notes),
        made_with=provenance(table),
        command=table_command(table),
    )


def _lane(table: Table, backbone: str) -> LaneDocument:
    ranking, others = table.rankings[backbone], table.new_classes.get(backbone)
    return LaneDocument(
        backbone=backbone,
        seeds=list(ranking.seeds),
        detectable=ranking.detectable,
        detectable_new_classes=others.detectable if others else None,
        test_classes=others.classes or None if others else None,
        says=[*ranking.sentences(), *(others.sentences(ranking) if others else [])],
    )


def _row(table: Table, row: Row) -> RowDocument:
    backbone = row.names.get("backbone", "")
    ranking = None if row.is_baseline else table.rankings.get(backbone)
    behind = ranking.behind.get(row.id) if ranking else None
    kind: Literal["baseline", "trained"] = "baseline" if row.is_baseline else "trained"
    counted = ("parameters", "loss_parameters", "train_items", "fit_items")
    reasons = dict.fromkeys(plain(record.reason, REASON_LENGTH) for record in row.failed)
    return RowDocument(
        label=row.label,
        kind=kind if row.finished else "failed",
        parts={kind: row.names[kind] for kind in ROW_KINDS if kind in row.names},
        hyperparameters=row.hyperparameters,
        embedding_dim=row.trial.protocol.embedding_dim,
        reducer=row.text("reducer"),
        own_lr=row.text("own_lr"),
        origin=row.origin,
        seeds={
            "finished": [record.trial.seed for record in row.finished],
            "failed": [record.trial.seed for record in row.failed],
            "collapsed": [record.trial.seed for record in row.collapsed],
        },
        metrics=_figures(row.metrics),
        last_epoch_metrics=_figures(row.last_epoch_metrics),
        selected_epochs=row.selected_epochs,
        group=ranking.group(row) if ranking else "",
        behind_best=_figure(behind) if behind else None,
        new_classes=None if row.is_baseline else _new_classes(row, table.new_classes.get(backbone)),
        over_floors={
            floor: _figure(over) for floor, over in table.over_floors(row).items() if over
        },
        below_floors={floor: list(metrics) for floor, metrics in row.below.items()},
        reported=_reference(table, row),
        seconds=row.seconds,
        counts={name: sorted(set(row.numbers(name))) for name in counted},
        extra=dict(row.extra),
        reasons=list(reasons),
        row_id=row.id,
        trial_ids=[record.id for record in row.records],
        command=row_command(row),
    )


def _new_classes(row: Row, others: NewClasses | None) -> OtherClasses | None:
    if not others or row.id not in others.half_widths:
        return None
    return OtherClasses(
        test_class_half_width=others.half_widths[row.id],
        group=others.groups[row.id],
        behind_best=_figure(others.behind[row.id]),
    )


def _reference(table: Table, row: Row) -> Reference | None:
    entry = reported_rows(table).get(row.id)
    if not entry:
        return None
    return Reference(metrics=entry.fractions, source=str(reported().sources[entry.source]))


def _figures(estimates: Mapping[str, Estimate]) -> dict[str, Figure]:
    return {name: _figure(value) for name, value in estimates.items()}


def _figure(value: Estimate) -> Figure:
    width = value.half_width
    return Figure(
        mean=value.mean if isfinite(value.mean) else None,
        half_width=width if width is None or isfinite(width) else None,
        n=value.n,
    )
