"""Loss by miner and loss by sampler: which part is behind a gain.

The shares come from a two-way analysis of variance over the whole grid: how much of the variation
between trials is explained by the loss, by the other part and by their interaction, and how much
remains between seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.trial import canonical_json
from dmlbench.statistics import Estimate

_LEAST = 3
"""Fewest losses, and fewest parts, of a grid worth showing."""


@dataclass(frozen=True)
class Grid:
    """Losses that were all combined with the same miners or samplers."""

    losses: tuple[str, ...]
    parts: tuple[str, ...]
    kind: str
    """``miner`` or ``sampler``."""
    cells: Mapping[tuple[str, str], Estimate]
    shares: Mapping[str, float]
    """Shares of the sum of squares by source; empty if seeds are missing somewhere."""


def by_miner(table: Table) -> Grid | None:
    """Return the grid of losses and miners in `table`, or None if there is none."""
    entries = [
        (row.names["loss"], row.names["miner"], row)
        for row in table.trained
        if "miner" in row.names
    ]
    return _grid(entries, "miner", table.headline)


def differing_by_sampler(tables: Iterable[Table]) -> list[list[Table]]:
    """Return groups of `tables` with the same data, and protocols that differ in the sampler."""
    alike: dict[str, list[Table]] = {}
    for table in tables:
        held = table.protocol.identity() | {"sampler": None}
        key = canonical_json([str(table.dataset), table.fingerprint, held])
        alike.setdefault(key, []).append(table)
    return list(alike.values())


def by_sampler(tables: Sequence[Table]) -> Grid | None:
    """Return the grid of rows and samplers in `tables`, which differ only in the sampler."""
    entries = [
        (row.label, table.protocol.sampler, row) for table in tables for row in table.trained
    ]
    return _grid(entries, "sampler", tables[0].headline)


def _grid(entries: Iterable[tuple[str, str, Row]], kind: str, metric: str | None) -> Grid | None:
    cells: dict[tuple[str, str], Row] = {}
    for loss, part, row in entries:
        if metric is not None and metric in row.metrics:
            cells.setdefault((loss, part), row)
    losses, parts = complete(cells)
    if metric is None or not losses:
        return None
    kept = {(loss, part): cells[loss, part] for loss in losses for part in parts}
    estimates = {place: row.metrics[metric] for place, row in kept.items()}

    def mean(places: Iterable[tuple[str, str]]) -> float:
        return written(fmean(estimates[place].mean for place in places))

    losses = sorted(losses, key=lambda loss: (-mean((loss, part) for part in parts), loss))
    parts = sorted(parts, key=lambda part: (-mean((loss, part) for loss in losses), part))
    values = [[_by_seed(kept[loss, part], metric) for part in parts] for loss in losses]
    return Grid(tuple(losses), tuple(parts), kind, estimates, _shares(values, kind))


def complete(cells: Mapping[tuple[str, str], Row]) -> tuple[list[str], list[str]]:
    """Return the losses and parts of the largest complete grid.

    The candidates: for each loss, the parts it was combined with, and all losses that were combined
    with these too.
    """
    met: dict[str, frozenset[str]] = {}
    for loss, part in cells:
        met[loss] = met.get(loss, frozenset()) | {part}
    best: tuple[list[str], list[str]] = ([], [])
    for parts in sorted(set(met.values()), key=sorted):
        losses = sorted(loss for loss, others in met.items() if parts <= others)
        enough = min(len(losses), len(parts)) >= _LEAST
        if enough and len(losses) * len(parts) > len(best[0]) * len(best[1]):
            best = losses, sorted(parts)
    return best


def _by_seed(row: Row, metric: str) -> dict[int, float]:
    return {record.trial.seed: record.metrics[metric] for record in row.finished}


def _shares(values: Sequence[Sequence[Mapping[int, float]]], kind: str) -> dict[str, float]:
    seeds = {tuple(sorted(cell)) for line in values for cell in line}
    if len(seeds) != 1 or len(next(iter(seeds))) < 2:
        return {}
    (order,) = seeds
    data = np.array([[[cell[seed] for seed in order] for cell in line] for line in values])
    total = ((data - data.mean()) ** 2).sum()
    if total == 0:
        return {}
    cell = data.mean(axis=2)
    loss, part = cell.mean(axis=1, keepdims=True), cell.mean(axis=0, keepdims=True)
    each = data.shape[2]
    return {
        "loss": float(each * cell.shape[1] * ((loss - data.mean()) ** 2).sum() / total),
        kind: float(each * cell.shape[0] * ((part - data.mean()) ** 2).sum() / total),
        "their combination": float(each * ((cell - loss - part + data.mean()) ** 2).sum() / total),
        "seeds": float(((data - cell[:, :, None]) ** 2).sum() / total),
    }
