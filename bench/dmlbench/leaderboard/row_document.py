"""A row of a table: each field once, with what every format shows of it.

To add a column, add a field to `RowDocument`. It appears in CSV and JSON files and, if its `Column`
has a heading (``details``), among the details of a page and of the site.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Annotated, Literal

from dmlbench.leaderboard import row_cells as cells
from dmlbench.leaderboard.columns import Column, values
from dmlbench.leaderboard.commands import row_command
from dmlbench.leaderboard.reported import reported, reported_rows
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.base import Schema
from dmlbench.schemas.trial import ROW_KINDS
from dmlbench.statistics import Estimate


class Figure(Schema):
    """A mean over seeds, or a mean difference, with half the width of its 95 % interval."""

    mean: float | None
    """None if it is not a finite number."""
    half_width: float | None
    """None where there is no interval: for a single seed, or the same step at too few."""
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


def _detail(name: str) -> Callable[[Table, Row], str]:
    return lambda table, row: row.text(name)


def _embedding_dim(table: Table, row: Row) -> dict[str, str]:
    return {"Dim": str(table.protocol.embedding_dim) if "backbone" in row.names else ""}


def _seeds(table: Table, row: Row) -> dict[str, list[int]]:
    seeds = {"finished": row.finished, "failed": row.failed, "collapsed": row.collapsed}
    return {name: [record.trial.seed for record in records] for name, records in seeds.items()}


def _group(table: Table, row: Row) -> str:
    ranking = table.ranking_of(row)
    return ranking.group(row) if ranking else ""


def _behind_best(table: Table, row: Row) -> Figure | None:
    behind = table.behind_best(row)
    return _figure(behind) if behind else None


def _new_classes(table: Table, row: Row) -> OtherClasses | None:
    found = table.new_classes_of(row)
    if not found or row.id not in found.half_widths:
        return None
    return OtherClasses(
        test_class_half_width=found.half_widths[row.id],
        group=found.groups[row.id],
        behind_best=_figure(found.behind[row.id]),
    )


def _over_floors(table: Table, row: Row) -> dict[str, Figure]:
    return _figures({floor: over for floor, over in table.over_floors(row).items() if over})


def _below_floors(table: Table, row: Row) -> dict[str, list[str]]:
    return {floor: list(metrics) for floor, metrics in row.below.items()}


def _below(table: Table, row: Row) -> dict[str, str]:
    lost = (f"{floor}: {', '.join(metrics)}" for floor, metrics in row.below.items())
    return {"below": "; ".join(lost)}


def _reported(table: Table, row: Row) -> Reference | None:
    entry = reported_rows(table).get(row.id)
    if not entry:
        return None
    return Reference(metrics=entry.fractions, source=str(reported().sources[entry.source]))


def _seconds(table: Table, row: Row) -> dict[str, str]:
    return {"Seconds": "" if row.seconds is None else f"{row.seconds:.1f}"}


def _counts(table: Table, row: Row) -> dict[str, list[float]]:
    return {name: sorted(set(row.numbers(name))) for name in cells.COUNTED}


def _figures(estimates: Mapping[str, Estimate]) -> dict[str, Figure]:
    return {name: _figure(value) for name, value in estimates.items()}


def _figure(value: Estimate) -> Figure:
    width = value.half_width
    return Figure(
        mean=value.mean if isfinite(value.mean) else None,
        half_width=width if width is None or isfinite(width) else None,
        n=value.n,
    )


class RowDocument(Schema):
    """A row."""

    label: Annotated[
        str,
        Column(
            csv="row",
            details="Row",
            about={"Row": "Loss and miner, or baseline, and what else is needed to tell it apart."},
        ),
    ]
    kind: Literal["trained", "baseline", "failed"]
    parts: Annotated[
        dict[str, str],
        Column(
            lambda table, row: {kind: row.names[kind] for kind in ROW_KINDS if kind in row.names},
            csv=cells.part_cells,
            details=cells.part_texts,
            details_after="hyperparameters",
            about={
                "Baseline": "What stands in place of a trained network.",
                "Loss": "What the network is trained by.",
                "Miner": "Which pairs or triplets of a batch the loss takes.",
                "Sampler": "Which items make a batch.",
                "Backbone": "The network, with the settings that differ from its defaults.",
            },
        ),
    ]
    """Names of baseline, or of loss, miner, sampler and backbone."""
    hyperparameters: Annotated[
        str,
        Column(
            details="Hyper-parameters",
            csv_after="embedding_dim",
            about={"Hyper-parameters": "Those that differ from the defaults."},
        ),
    ]
    embedding_dim: Annotated[
        int,
        Column(
            lambda table, row: table.protocol.embedding_dim,
            details=_embedding_dim,
            about={"Dim": "Numbers in an embedding."},
        ),
    ]
    reducer: Annotated[
        str,
        Column(
            _detail("reducer"),
            details="Reducer",
            about={"Reducer": "How the loss makes one number of the terms of a batch."},
        ),
    ]
    own_lr: Annotated[
        str,
        Column(
            _detail("own_lr"),
            details="Own LR",
            about={
                "Own LR": "Learning rate of the loss's own parameters, such as class vectors, as "
                "a multiple of the network's."
            },
        ),
    ]
    pretrained_on: Annotated[
        str,
        Column(
            details="Pre-trained on",
            about={
                "Pre-trained on": "Data of the network's weights, and whether the dataset's images "
                "or classes are in them."
            },
        ),
    ]
    """Data of the backbone's weights, and whether the dataset's images or classes are in them."""
    origin: Annotated[
        str,
        Column(
            csv="from",
            details="From",
            details_after="counts",
            about={"From": "Packages that offer its parts, and their versions."},
        ),
    ]
    """Distributions and versions."""
    seeds: Annotated[
        dict[Literal["finished", "failed", "collapsed"], list[int]],
        Column(_seeds, about={"Seeds": "How many finished; failed and collapsed ones by number."}),
    ]
    metrics: Annotated[
        dict[str, Figure],
        Column(
            lambda table, row: _figures(row.metrics),
            csv=lambda table, row: cells.metric_cells(row.metrics),
            details=cells.headline_texts,
            about={"Its …": "Mean on test of the epoch that counts, in percent."},
        ),
    ]
    """On test, of the epoch that counts."""
    last_epoch_metrics: Annotated[
        dict[str, Figure],
        Column(
            lambda table, row: _figures(row.last_epoch_metrics),
            csv=lambda table, row: cells.metric_cells(row.last_epoch_metrics, "last_epoch_"),
            details=cells.last_epoch_texts,
            about={"Last epoch: …": "The same of the last epoch, whichever counts."},
        ),
    ]
    selected_epochs: Annotated[
        list[int],
        Column(
            csv=cells.epoch_cells,
            csv_after="below_floors",
            details=cells.epoch_texts,
            details_after="own_lr",
            about={"Epoch that counts": "The epoch that is tested, from least to greatest seed."},
        ),
    ]
    """One per finished seed."""
    group: Annotated[
        str,
        Column(
            _group,
            about={
                "From the best": "Whether the seeds can tell the row from the best of its backbone "
                "by the metric that rows are ordered by: it can't be told, or it is worse."
            },
        ),
    ]
    """``best``: can't be told from the best; ``worse``; or empty: not compared."""
    behind_best: Annotated[
        Figure | None,
        Column(
            _behind_best,
            csv=lambda table, row: cells.estimate_cells("behind_best", table.behind_best(row)),
        ),
    ]
    new_classes: Annotated[OtherClasses | None, Column(_new_classes, csv=cells.new_classes_cells)]
    over_floors: Annotated[
        dict[str, Figure],
        Column(
            _over_floors,
            csv=cells.over_floors_cells,
            details=cells.over_floors_texts,
            about={"Over …": "Lead over this baseline, paired by seed, in percent points."},
        ),
    ]
    below_floors: Annotated[
        dict[str, list[str]],
        Column(
            _below_floors,
            csv=_below,
            about={
                "Below": "Baselines that a row must beat and did not, and on which metric its mean "
                "is lower."
            },
        ),
    ]
    reported: Annotated[
        Reference | None, Column(_reported, csv=cells.paper_cells, csv_after="reasons")
    ]
    seconds: Annotated[
        float | None,
        Column(
            details=_seconds,
            details_after="counts",
            about={"Seconds": "Mean time of a trial on the machines that ran it."},
        ),
    ]
    """Mean of a trial."""
    counts: Annotated[
        dict[str, list[float]],
        Column(
            _counts,
            csv=cells.count_cells,
            details=cells.count_texts,
            about={
                "Tied queries": "Share of queries whose nearest right and wrong items are equally "
                "near: a collapsed or very small embedding.",
                "Parameters": "Weights of the network + those of the loss.",
                "Learnt from": "Training items that were used.",
            },
        ),
    ]
    """Weights of network and loss, items: all values that the seeds have."""
    extra: Annotated[
        dict[str, str],
        Column(
            csv=lambda table, row: {f"plugin: {name}": text for name, text in row.extra.items()},
            details=cells.plugin_texts,
        ),
    ]
    """Columns of plugins."""
    reasons: Annotated[list[str], Column(csv=lambda table, row: {"reason": "; ".join(row.reasons)})]
    """Why seeds failed."""
    row_id: Annotated[str, Column(lambda table, row: row.id, csv=cells.identity_cells)]
    trial_ids: Annotated[
        list[str], Column(lambda table, row: [record.id for record in row.records])
    ]
    command: Annotated[str, Column(lambda table, row: row_command(row))]


def row_document(table: Table, row: Row) -> RowDocument:
    """Return all that is known of a row of `table`."""
    return RowDocument(**values(RowDocument, table, row))
