"""What changed between two sets of records, and which of the differences are real."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any, TypeVar

from dmlbench.audit.record_differences import ABSENT, changed, differences
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.ranking import by_seed
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table, make_tables
from dmlbench.schemas.base import dotted
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Part, Trial
from dmlbench.statistics import CONFIDENCE, LEAST_SEEDS, Estimate, paired_difference
from dmlbench.statistics.multiple_tests import holm, paired_p_value

_Thing = TypeVar("_Thing")

ONLY_FIRST, ONLY_SECOND = "only in A", "only in B"
EQUAL, REAL = "equal to the bit", "real"
SAME, FEW, NONE = "can't be told apart", f"under {LEAST_SEEDS} common seeds", "no common seed"


@dataclass(frozen=True)
class RowDifference:
    """A row of the first set, beside its counterpart in the second."""

    table: str
    """The title of its table."""
    label: str
    first: Row | None
    second: Row | None
    changes: tuple[str, ...] = ()
    """What differs in its parts, data and protocol."""
    metric: str = ""
    """The metric that its table is ordered by."""
    seeds: tuple[int, ...] = ()
    """Those that finished in both."""
    means: tuple[float, float] | None = None
    """Of the metric, over these seeds."""
    difference: Estimate | None = None
    """Second minus first, seed by seed, with a 95 % interval for this row alone."""
    equal: bool = False
    """Whether all figures of these seeds are the same to the bit."""
    p_value: float | None = None
    """Of the paired t-test, adjusted for all rows that were tested (Holm)."""

    @property
    def verdict(self) -> str:
        """Return what can be said about the difference, in a few words."""
        if self.first is None or self.second is None:
            return ONLY_SECOND if self.first is None else ONLY_FIRST
        if not self.seeds:
            return NONE
        if self.equal:
            return EQUAL
        if self.p_value is None:
            return FEW
        return REAL if self.p_value < 1 - CONFIDENCE else SAME


@dataclass(frozen=True)
class Changes:
    """Two sets of records, compared."""

    rows: tuple[RowDifference, ...]
    versions: Mapping[str, tuple[str, str]]
    """Those that differ, by name."""
    settings: Mapping[str, tuple[str, str]]
    """Those that differ, facts about the machines included, by name."""

    @property
    def tested(self) -> int:
        """Return how many rows were tested, which is what Holm's correction accounts for."""
        return sum(row.p_value is not None for row in self.rows)


def compare_sets(first: Sequence[Record], second: Sequence[Record]) -> Changes:
    """Return what changed from `first` to `second`, row by row.

    Tables belong together if data and protocol are the same, else if their titles are, else if
    there is one of the dataset on either side; rows if they are the same but for the seed, else if
    their labels are, else if the names of their parts are, so that settings differ.
    """
    keys = (lambda table: table.id, lambda table: table.title, lambda table: table.dataset.name)
    tables = _pairs(make_tables(first), make_tables(second), keys)
    rows = [row for one, other in tables for row in _rows(one, other)]
    tested = [row for row in rows if row.p_value is not None]
    adjusted = iter(holm([row.p_value for row in tested if row.p_value is not None]))
    rows = [row if row.p_value is None else replace(row, p_value=next(adjusted)) for row in rows]
    return Changes(
        tuple(rows),
        _changed_values(first, second, lambda record: record.versions),
        _changed_values(first, second, _surroundings),
    )


def _rows(first: Table | None, second: Table | None) -> Iterator[RowDifference]:
    title = " -> ".join(dict.fromkeys(table.title for table in (first, second) if table))
    rows = [table.rows if table else () for table in (first, second)]
    keys = (lambda row: row.id, lambda row: row.label, _part_names)
    for one, other in _pairs(rows[0], rows[1], keys):
        labels = dict.fromkeys(row.label for row in (one, other) if row)
        found = RowDifference(title, " -> ".join(labels), one, other)
        if one and other:
            metric = (first.headline if first else None) or ""
            found = replace(found, changes=tuple(_changes(one.trial, other.trial)), metric=metric)
            found = _measured(found, one, other)
        yield found


def _measured(found: RowDifference, first: Row, second: Row) -> RowDifference:
    values = by_seed(first, found.metric), by_seed(second, found.metric)
    seeds = tuple(sorted(values[0].keys() & values[1].keys()))
    if not seeds:
        return found
    one, other = ([side[seed] for seed in seeds] for side in values)
    records = [{r.trial.seed: r for r in row.finished} for row in (first, second)]
    equal = all(_equal(records[0][seed], records[1][seed]) for seed in seeds)
    testable = len(seeds) >= LEAST_SEEDS and not equal
    return replace(
        found,
        seeds=seeds,
        means=(fsum(one) / len(seeds), fsum(other) / len(seeds)),
        difference=paired_difference(values[1], values[0]),
        equal=equal,
        p_value=paired_p_value(one, other) if testable else None,
    )


def _equal(first: Record, second: Record) -> bool:
    """Return whether the figures that both records have are the same to the bit."""
    unlike = (one for one in differences(first, second) if ABSENT not in (one.first, one.second))
    return first.metrics == second.metrics and not any(unlike)


def _pairs(
    first: Iterable[_Thing],
    second: Iterable[_Thing],
    keys: Iterable[Callable[[_Thing], Hashable]],
) -> list[tuple[_Thing | None, _Thing | None]]:
    """Return pairs: matched by the first key that is unique, and the same, on both sides."""
    left, right = list(first), list(second)
    partner: dict[int, _Thing] = {}
    taken: set[int] = set()
    for key in keys:
        rest = [
            _unique((place, key(each)) for place, each in enumerate(side) if place not in done)
            for side, done in ((left, partner), (right, taken))
        ]
        for value, place in rest[0].items():
            if value in rest[1]:
                partner[place] = right[rest[1][value]]
                taken.add(rest[1][value])
    alone = [(None, each) for place, each in enumerate(right) if place not in taken]
    return [*((each, partner.get(place)) for place, each in enumerate(left)), *alone]


def _unique(keyed: Iterable[tuple[int, Hashable]]) -> dict[Hashable, int]:
    """Return the place of each key that occurs once."""
    places: dict[Hashable, list[int]] = {}
    for place, key in keyed:
        places.setdefault(key, []).append(place)
    return {key: found[0] for key, found in places.items() if len(found) == 1}


def _part_names(row: Row) -> Hashable:
    return tuple(sorted((kind, part.name) for kind, part in row.trial.parts.items()))


def _changes(first: Trial, second: Trial) -> Iterator[str]:
    parts = [{"dataset": trial.dataset, **trial.parts} for trial in (first, second)]
    for kind, (one, other) in changed(*parts).items():
        if ABSENT in (one, other):
            yield f"{kind}: {plain(str(one))} -> {plain(str(other))}"
        else:
            yield from _part_changes(kind, one, other)
    if first.fingerprint != second.fingerprint:
        yield f"data: {plain(first.fingerprint[:16])} -> {plain(second.fingerprint[:16])}"
    if first.semantics != second.semantics:
        yield f"semantics of dmlbench: {first.semantics} -> {second.semantics}"
    fields = (dict(dotted(trial.protocol.identity())) for trial in (first, second))
    yield from _pairs_of_values("protocol.", *fields)


def _part_changes(kind: str, first: Part, second: Part) -> Iterator[str]:
    for name in ("name", "distribution"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            yield f"{kind} {name}: {plain(one) or 'none'} -> {plain(other) or 'none'}"
    yield from _pairs_of_values(f"{kind}.", first.settings, second.settings)
    for name, (one, other) in changed(first.files, second.files).items():
        yield f"{kind}.{plain(name)}, the file's content: {one[:7]} -> {other[:7]}"
    yield from _pairs_of_values(f"{kind} {plain(second.name)}, ", first.libraries, second.libraries)
    if first.source != second.source:
        sources = (part.source[:7] or "not loaded" for part in (first, second))
        yield f"{kind} {plain(second.name)}, source: {' -> '.join(map(plain, sources))}"


def _pairs_of_values(
    prefix: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[str]:
    for name, (one, other) in changed(first, second).items():
        yield f"{prefix}{plain(name)}: {plain(str(one))} -> {plain(str(other))}"


def _surroundings(record: Record) -> dict[str, Any]:
    machine = {name: record.measurements.get(name) for name in ("machine", "system")}
    return record.settings | {name: value for name, value in machine.items() if value}


def _changed_values(
    first: Iterable[Record], second: Iterable[Record], of: Callable[[Record], Mapping[str, Any]]
) -> dict[str, tuple[str, str]]:
    """Return the values that occur on each side, by name, where the sides differ."""
    sides = []
    for records in (first, second):
        values: dict[str, set[str]] = {}
        for record in records:
            for name, value in of(record).items():
                values.setdefault(plain(name), set()).add(plain(str(value)))
        sides.append({name: ", ".join(sorted(found)) for name, found in values.items()})
    return changed(*sides)
