"""From records to tables: one for each dataset, data fingerprint and protocol."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dmlbench.errors import ConfigError
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.formats.figures import written
from dmlbench.leaderboard.metric_names import (
    display_name,
    facts_in,
    floors_count,
    headline,
    shown,
)
from dmlbench.leaderboard.mixed_settings import mixed_settings
from dmlbench.leaderboard.new_classes import NewClasses, for_new_classes
from dmlbench.leaderboard.plugin_columns import (
    Columns,
    ColumnSource,
    add_columns,
    column_sources,
)
from dmlbench.leaderboard.ranking import Ranking, over_floor, rank_rows
from dmlbench.leaderboard.rows import Row, named_rows
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.record import MetricFacts, Record
from dmlbench.schemas.trial import Part, Trial, canonical_json
from dmlbench.statistics import Estimate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """Rows that may be compared: the same data, the same protocol."""

    rows: tuple[Row, ...]
    """Every row, best mean first; rows without a finished seed last."""
    notes: tuple[str, ...] = ()
    """What a reader must know about these records, in sentences."""

    @property
    def dataset(self) -> Part:
        """Return the dataset."""
        return self.rows[0].trial.dataset

    @property
    def protocol(self) -> Protocol:
        """Return the protocol."""
        return self.rows[0].trial.protocol

    @property
    def fingerprint(self) -> str:
        """Return the hash of the data."""
        return self.rows[0].trial.fingerprint

    @property
    def id(self) -> str:
        """Return a hash of what the rows share."""
        return sha256("\n".join(_table_key(self.rows[0].trial)).encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """Return dataset and protocol, and whether the data are partial."""
        partial = " · PARTIAL DATA" if self.partial else ""
        return f"{plain(str(self.dataset))} · {plain(self.protocol.name)}{partial}"

    @property
    def partial(self) -> bool:
        """Return whether only a part of the dataset was available."""
        return self.dataset.settings.get("partial") is True

    @cached_property
    def ranks_losses(self) -> bool:
        """Return whether the best trained row of some backbone beats every floor."""
        metric = display_name(self.headline) if self.headline else ""
        return any(
            not self.rankings[backbone].unfit
            and not any(metric in lost for lost in rows[0].below.values())
            for backbone, rows in self.lanes.items()
            if backbone in self.rankings
        )

    @property
    def records(self) -> list[Record]:
        """Return the records of all rows."""
        return [record for row in self.rows for record in row.records]

    @cached_property
    def metrics(self) -> list[str]:
        """Return the metrics that the table shows."""
        return shown((name for row in self.rows for name in row.metrics), self.metric_facts)

    @cached_property
    def metric_facts(self) -> dict[str, MetricFacts]:
        """Return what the records say of metrics that are not ours, by key."""
        return facts_in(self.records)

    @cached_property
    def headline(self) -> str | None:
        """Return the metric that the rows are ordered by; None if no row has finished."""
        return headline(self.metrics)

    @property
    def trained(self) -> list[Row]:
        """Return the finished rows in which a network is trained by a loss."""
        return [row for row in self.rows if row.finished and not row.is_baseline]

    @property
    def lanes(self) -> dict[str, list[Row]]:
        """Return the trained rows by backbone: those of different ones are not ranked together."""
        lanes: dict[str, list[Row]] = {}
        for row in self.trained:
            lanes.setdefault(row.names.get("backbone", ""), []).append(row)
        return dict(sorted(lanes.items()))

    @cached_property
    def rankings(self) -> dict[str, Ranking]:
        """Return by backbone which trained rows can't be told from the best of that backbone.

        Where the backbone learns nothing, a lane is ranked only if the best trained row beats the
        baselines, which start from the same features.
        """
        if self.headline is None:
            return {}
        return {
            backbone: rank_rows(rows, self.headline, self._on_the_same_features(rows[0]))
            for backbone, rows in self.lanes.items()
        }

    @cached_property
    def new_classes(self) -> dict[str, NewClasses]:
        """Return by backbone what the ranking is worth for other classes, where it claims any."""
        lanes = self.lanes
        found = {name: for_new_classes(lanes[name], one) for name, one in self.rankings.items()}
        return {name: one for name, one in found.items() if one}

    def ranking_of(self, row: Row) -> Ranking | None:
        """Return the ranking that a row takes part in; None for baselines and failed rows."""
        if row.is_baseline or not row.finished:
            return None
        return self.rankings.get(row.names.get("backbone", ""))

    def behind_best(self, row: Row) -> Estimate | None:
        """Return by how much a row is behind the best of its ranking; None if not compared."""
        ranking = self.ranking_of(row)
        return ranking.behind.get(row.id) if ranking else None

    def new_classes_of(self, row: Row) -> NewClasses | None:
        """Return what the ranking that a row takes part in is worth for other classes."""
        return self.new_classes.get(row.names.get("backbone", "")) if self.ranking_of(row) else None

    def _on_the_same_features(self, row: Row) -> list[Row] | None:
        """Return the baselines fitted on the frozen features that `row` starts from, if any are."""
        if not self.protocol.frozen:
            return None
        return [baseline for baseline in self.baselines if _comparable(baseline.trial, row.trial)]

    def over_floors(self, row: Row) -> dict[str, Estimate | None]:
        """Return by how much a trained row is above each floor, by the floor's label."""
        metric = self.headline
        return {
            floor.label: over_floor(row, floor, metric)
            if metric and not row.is_baseline and _comparable(floor.trial, row.trial)
            else None
            for floor in self.floors
        }

    @property
    def baselines(self) -> list[Row]:
        """Return the finished rows in which no network is trained by a loss."""
        return [row for row in self.rows if row.finished and row.is_baseline]

    @property
    def floors(self) -> list[Row]:
        """Return the baselines that a trained row must beat."""
        return [row for row in self.baselines if _is_floor(row)]

    @property
    def failed(self) -> list[Row]:
        """Return the rows of which no seed has finished."""
        return [row for row in self.rows if not row.finished]

    def to_frame(self) -> "pd.DataFrame":
        """Return the published CSV file as a data frame: a line for each row, best mean first.

        Means and half-widths are fractions with six significant digits. What a row lacks is NaN.
        Ids, seeds and other lists are texts; docs/python.md describes the columns.
        """
        from dmlbench.leaderboard.frame import to_frame

        return to_frame(self)


def make_tables(records: Iterable[Record], *, columns: Columns = None) -> list[Table]:
    """Return the tables of `records`, whose order does not matter, as an index lists them.

    Those of whole datasets come before partial ones, and among these, those that can rank losses
    come first; then by dataset and protocol.

    Args:
        records: of any datasets and protocols.
        columns: who adds columns: a function from a row's records to texts by heading, or the
            plugins that implement the hook ``dmlbench_leaderboard_columns``.

    Raises:
        ConfigError: there are no records.
    """
    keyed = sorted(((_table_key(record.trial), record) for record in records), key=_place)
    if not keyed:
        raise ConfigError("There are no records to make tables from. Make some: `dmlbench run`.")
    sources = column_sources(columns)
    tables = [
        _make_table([record for _, record in group], sources)
        for _, group in groupby(keyed, key=lambda pair: pair[0])
    ]
    return sorted(tables, key=lambda table: (table.partial, not table.ranks_losses))


def _table_key(trial: Trial) -> tuple[str, str, str]:
    """Return what the trials of one table share."""
    dataset = trial.dataset.model_dump(mode="json", include={"name", "settings"})
    identity = [dataset, trial.fingerprint, trial.protocol.identity()]
    return (trial.dataset.name, trial.protocol.name, canonical_json(identity))


def _place(keyed: tuple[tuple[str, str, str], Record]) -> Any:
    key, record = keyed
    return key, record.trial.row, record.trial.seed, record.id


def _make_table(records: Sequence[Record], sources: Mapping[str, ColumnSource]) -> Table:
    kept, notes = _one_a_trial(_without_mended(records))
    groups = groupby(kept, key=lambda record: record.trial.row)
    rows = named_rows([list(group) for _, group in groups])
    table = Table(tuple(rows))
    marked = [replace(row, below=_lost_to(table.floors, row)) for row in rows]
    ordered = tuple(sorted(marked, key=lambda row: _rank(row, table.headline)))
    wider, failures = add_columns(ordered, sources)
    table = Table(tuple(wider))
    notes += [
        *_missing_floors(table),
        *_uneven_seeds(table),
        *mixed_settings(table.rows),
        *failures,
    ]
    return replace(table, notes=tuple(notes))


def _without_mended(records: Sequence[Record]) -> list[Record]:
    """Drop failures of components that could not be loaded then but have finished since."""

    def parts(record: Record, loaded: bool) -> set[tuple[str, str, str, int]]:
        return {
            (kind, part.name, part.distribution, record.trial.seed)
            for kind, part in record.trial.parts.items()
            if bool(part.source) == loaded
        }

    finished = {part for r in records if r.status == "finished" for part in parts(r, loaded=True)}
    return [r for r in records if not (broken := parts(r, loaded=False)) or broken - finished]


def _one_a_trial(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Return one record per trial, and a note on each trial whose records differ."""
    kept, notes = [], []
    for _, group in groupby(records, key=lambda record: record.id):
        copies = list(group)
        if len(copies) > 1:
            copies.sort(key=lambda record: (record.status != "finished", record.to_json()))
            if any(
                copy.metrics != copies[0].metrics for copy in copies if copy.status == "finished"
            ):
                notes.append(
                    f"There are {len(copies)} records of {plain(str(copies[0].trial), 160)} with "
                    "different figures; one of them is shown."
                )
        kept.append(copies[0])
    return kept, notes


def _rank(row: Row, metric: str | None) -> tuple[bool, float, str, str]:
    value = row.metrics.get(metric or "")
    return (value is None, -written(value.mean) if value else 0.0, row.label, row.id)


def _is_floor(row: Row) -> bool:
    part = row.trial.parts["baseline"]
    floors = row.trial.protocol.baselines.floors
    return part.name in floors or part.reference in floors


def _lost_to(floors: Sequence[Row], row: Row) -> Mapping[str, tuple[str, ...]]:
    """Return the metrics whose mean is below that of a floor, by the floor's label.

    A floor that has a backbone (the untrained network) applies only to rows with that backbone.
    """
    lost = {}
    if row.is_baseline and _is_floor(row):
        return {}
    for floor in floors:
        if not _comparable(floor.trial, row.trial):
            continue
        metrics = tuple(
            display_name(metric)
            for metric in row.metrics
            if floors_count(metric)
            and metric in floor.metrics
            and written(row.metrics[metric].mean) < written(floor.metrics[metric].mean)
        )
        if metrics:
            lost[floor.label] = metrics
    return lost


def _comparable(floor: Trial, trial: Trial) -> bool:
    backbones = [
        one.parts["backbone"].identity() for one in (floor, trial) if "backbone" in one.parts
    ]
    return len(backbones) < 2 or backbones[0] == backbones[1]


def _missing_floors(table: Table) -> list[str]:
    notes = []
    for backbone, rows in table.lanes.items():
        floors = [floor for floor in table.floors if _comparable(floor.trial, rows[0].trial)]
        parts = [floor.trial.parts["baseline"] for floor in floors]
        there = {part.name for part in parts} | {part.reference for part in parts}
        for name in table.protocol.baselines.floors:
            if name not in there:
                rows_of = f" of {backbone}" if len(table.lanes) > 1 else ""
                notes.append(
                    f"{plain(name)} has no finished trial here: no row{rows_of} can be marked "
                    "below it."
                )
    return notes


def _uneven_seeds(table: Table) -> list[str]:
    seeds = {tuple(record.trial.seed for record in row.finished) for row in table.rows}
    if len(seeds - {()}) < 2:
        return []
    return ["The rows do not all have the same finished seeds; the CSV file says which."]
