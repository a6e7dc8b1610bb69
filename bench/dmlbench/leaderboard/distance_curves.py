"""Distances of positive and negative pairs over the epochs: the siamese network's experiment."""

from dataclasses import dataclass
from statistics import fmean

from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.record import Distances

_SPLITS = ("train", "test")
# Draw the experiment of Hadsell, Chopra and LeCun (CVPR 2006) if a table has it.
_CLASSIC_LOSS, _CLASSIC_MINER = "contrastive", "all-pairs"


@dataclass(frozen=True)
class Curve:
    """Means over seeds of the mean distances of one split, by epoch ``[E]``."""

    split: str
    epochs: list[int]
    positive: list[float]
    negative: list[float]
    ratio: list[float]
    """Mean over seeds of positive / negative; NaN where a negative distance is 0."""


def curves_row(table: Table) -> Row | None:
    """Return the row to draw: contrastive with its own miner if present, else the top one."""
    drawable = [row for row in table.trained if distance_curves(row)]
    classic = [row for row in drawable if row.names.get("loss") == _CLASSIC_LOSS]
    classic.sort(key=lambda row: row.names.get("miner") != _CLASSIC_MINER)
    return next(iter([*classic, *drawable]), None)


def distance_curves(row: Row) -> list[Curve]:
    """Return a curve for each split that has distances at two or more epochs."""
    curves = []
    for split in _SPLITS:
        by_epoch: dict[int, list[Distances]] = {}
        for record in row.finished:
            for epoch in record.epochs:
                if split in epoch.distances:
                    by_epoch.setdefault(epoch.epoch, []).append(epoch.distances[split])
        if len(by_epoch) > 1:
            curves.append(_curve(split, by_epoch))
    return curves


def _curve(split: str, by_epoch: dict[int, list[Distances]]) -> Curve:
    epochs = sorted(by_epoch)
    ordered = [by_epoch[epoch] for epoch in epochs]
    return Curve(
        split,
        epochs,
        [fmean(each.positive for each in several) for several in ordered],
        [fmean(each.negative for each in several) for several in ordered],
        [fmean(map(_ratio, several)) for several in ordered],
    )


def _ratio(distances: Distances) -> float:
    return distances.positive / distances.negative if distances.negative else float("nan")
