"""A table as JSON: `TableDocument` is its schema.

Metrics, differences and half-widths are fractions of 1, with the digits that `written` leaves.
Texts are plain, not escaped for any format.
"""

import json
from typing import Any, Literal

from dmlbench.leaderboard.commands import table_command
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.formats.figures import all_written
from dmlbench.leaderboard.protocol_facts import provenance
from dmlbench.leaderboard.row_document import RowDocument, row_document
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.base import Schema


class LaneDocument(Schema):
    """How the trained rows of one backbone were compared."""

    backbone: str
    seeds: list[int]
    detectable: float | None
    """Smallest detectable difference between two rows of ordinary noise; None if there is none."""
    detectable_new_classes: float | None
    test_classes: int | None
    """Number of classes resampled; None if there are no figures on new classes."""
    says: list[str]


class TableDocument(Schema):
    """A table."""

    format: Literal["dmlbench table"] = "dmlbench table"
    version: Literal[1] = 1
    """Raised when fields change their meaning or are removed."""
    title: str
    dataset: str
    partial_data: bool
    fingerprint: str
    protocol: str
    protocol_fields: dict[str, Any]
    """Settings, not figures: with all their digits."""
    headline: str | None
    """The metric that rows are ordered and compared by."""
    lanes: list[LaneDocument]
    rows: list[RowDocument]
    notes: list[str]
    made_with: dict[str, str]
    command: str


def to_json(table: Table) -> str:
    """Return `table` as JSON, in the form of `TableDocument`."""
    content = document(table).model_dump(mode="json")
    settings = {"protocol_fields": content["protocol_fields"]}
    return json.dumps(all_written(content) | settings, indent=1, ensure_ascii=False) + "\n"


def document(table: Table) -> TableDocument:
    """Return all that is known about `table`."""
    return TableDocument(
        title=table.title,
        dataset=plain(str(table.dataset)),
        partial_data=table.partial,
        fingerprint=plain(table.fingerprint, 100),
        protocol=plain(table.protocol.name),
        protocol_fields=table.protocol.identity(),
        headline=table.headline,
        lanes=[_lane(table, backbone) for backbone in table.rankings],
        rows=[row_document(table, row) for row in table.rows],
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
