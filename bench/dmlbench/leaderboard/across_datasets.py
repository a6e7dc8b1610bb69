"""Rows that took part in several datasets, ranked within each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.loss_grid import complete
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.trial import canonical_json
from dmlbench.statistics import Ranks, rank_over

LEAST_BLOCKS = 3
"""Datasets that rows must have in common."""

_KINDS = ("loss", "miner")
"""Parts that identify a row across datasets; each dataset's protocol chooses the others."""


@dataclass(frozen=True)
class Across:
    """Rows with the same loss and miner, and all their settings, on several datasets."""

    labels: tuple[str, ...]
    """Of the rows, by mean rank."""
    tables: tuple[Table, ...]
    """One of each dataset."""
    ranks: Ranks
    """In the order of tables and labels."""


def across(tables: Sequence[Table]) -> Across | None:
    """Return the rows that the most datasets have in common; None with fewer than three datasets.

    Each dataset takes part once: with the table, and in it the backbone, that has the most trained
    rows. Lanes that cannot rank losses are left out. Of the sets of datasets that some row took
    part in, the one with the most cells (rows times datasets) is chosen.
    """
    chosen = _one_a_dataset(tables)
    cells: dict[tuple[str, str], Row] = {}
    for name, table in chosen.items():
        for row in _lane(table):
            cells.setdefault((_key(row), name), row)
    keys, names = complete(cells)
    if len(names) < LEAST_BLOCKS:
        return None
    values = [[_mean(cells[key, name], chosen[name]) for key in keys] for name in names]
    ranks = rank_over(np.array(values))
    labels = {key: _label(cells[key, names[0]]) for key in keys}
    order = sorted(range(len(keys)), key=lambda place: (ranks.means[place], labels[keys[place]]))
    ordered = rank_over(np.array(values)[:, order])
    return Across(
        tuple(labels[keys[place]] for place in order),
        tuple(chosen[name] for name in names),
        ordered,
    )


def _one_a_dataset(tables: Sequence[Table]) -> Mapping[str, Table]:
    chosen: dict[str, Table] = {}
    for table in sorted(tables, key=lambda table: (-len(_lane(table)), table.title, table.id)):
        if _lane(table):
            chosen.setdefault(str(table.dataset), table)
    return chosen


def _lane(table: Table) -> list[Row]:
    """Return the rows of the backbone with the most rows, among those that can be ranked."""
    fit = [rows for name, rows in table.lanes.items() if not table.rankings[name].unfit]
    rows = max(fit, key=len, default=[]) if table.headline else []
    return [row for row in rows if table.headline in row.metrics]


def _mean(row: Row, table: Table) -> float:
    return written(row.metrics[table.headline or ""].mean)


def _key(row: Row) -> str:
    parts = row.trial.parts
    return canonical_json({kind: parts[kind].identity() for kind in _KINDS if kind in parts})


def _label(row: Row) -> str:
    return " + ".join(row.names[kind] for kind in _KINDS if kind in row.names)
