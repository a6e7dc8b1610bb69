"""What trials of a plan's rows took before: read from the records in the output folder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from dmlbench.errors import DataError
from dmlbench.reading import parse_json, read_bytes
from dmlbench.schemas.base import as_recorded
from dmlbench.schemas.plan import table_name
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Part, Trial
from dmlbench.storage.atomic import slug
from dmlbench.storage.record_store import MOST_BYTES, Store

_MOST_READ = 1 << 26
"""Bytes that are read of records in all, so that a plan never waits for this."""
_OUTLIER = 10.0

Row = tuple[str, str, str]
"""The name of a table, the label of a row in it, and its backbone, "" without one."""


@dataclass(frozen=True)
class Measured:
    """What one trial took.

    Attributes:
        seconds: of the processor on a CPU where they were measured, else of the clock; without
            `once`.
        once: seconds to load the data, which others then find ready: photos, frozen features.
        memory_mib: the most that its process had resident; 0 if unknown.
        gpu_memory_mib: the most that tensors took on a GPU.
        knows_once: whether loading was measured apart. Records older than that don't.
    """

    seconds: float
    once: float = 0.0
    memory_mib: float = 0.0
    gpu_memory_mib: float = 0.0
    knows_once: bool = True


def row_of(trial: Trial) -> Row:
    """Return which row of a plan a trial belongs to."""
    backbone = trial.parts.get("backbone")
    return table_name(trial), trial.label, str(backbone) if backbone else ""


def measured(measurements: Mapping[str, Any], device: str) -> Measured | None:
    """Return what a trial took on `device`, from the measurements in its record.

    Example:
        >>> found = {"seconds": 20.0, "cpu_seconds": 10.0, "load_seconds": 2.0}
        >>> measured(found, "cpu").seconds, measured(found, "cpu").once
        (9.0, 1.0)
    """
    clock, load = measurements.get("seconds"), measurements.get("load_seconds")
    taken = measurements.get("cpu_seconds", clock) if device == "cpu" else clock
    if not isinstance(clock, int | float) or not isinstance(taken, int | float) or clock <= 0:
        return None
    share = load / clock if isinstance(load, int | float) else 0.0
    once = taken * min(1.0, max(0.0, share))
    memory = (measurements.get(key) for key in ("peak_memory_mib", "peak_gpu_memory_mib"))
    of_cpu, of_gpu = (float(mib) if isinstance(mib, int | float) else 0.0 for mib in memory)
    return Measured(taken - once, once, of_cpu, of_gpu, load is not None)


def once_apart(found: Mapping[Any, Sequence[Measured]]) -> dict[Any, list[Measured]]:
    """Return what the trials of a frozen backbone's table took, without computing features.

    All start from the same features, and the first computes them. Where records don't tell its
    loading apart, that is the one which took ten times as long as the others.
    """
    usual = median([one.seconds for some in found.values() for one in some] or [0.0])
    return {row: [_without(one, usual) for one in some] for row, some in found.items()}


def _without(one: Measured, usual: float) -> Measured:
    if one.knows_once or one.seconds <= _OUTLIER * usual:
        return one
    return replace(one, seconds=usual, once=one.seconds - usual)


def measured_before(
    trials: Iterable[Trial], store: Store, done: Iterable[Record], device: str
) -> dict[Row, list[Measured]]:
    """Return what records tell of the rows of `trials`: of any seed, on the same kind of device.

    Args:
        trials: of a plan.
        store: with records of earlier runs. Of a row that `done` has none of, a few are read.
        done: records of the plan that have been read already.
        device: ``cpu``, or the name of the GPU.
    """
    found: dict[Row, list[Measured]] = {}
    for record in done:
        taken = measured(record.measurements, device)
        if record.settings.get("device") == device and taken:
            found.setdefault(row_of(record.trial), []).append(taken)
    rows = {row_of(trial): trial for trial in trials}
    folders: dict[Path, dict[str, list[Path]]] = {}
    read: dict[Row, list[Measured]] = {}
    left = _MOST_READ
    for row, trial in rows.items():
        folder = store.path(trial).parent
        if folder not in folders:
            folders[folder] = _by_label(folder)
        if row in found:
            continue
        for path in folders[folder].get(slug(trial.label), [])[:1]:  # seeds are alike
            with suppress(OSError):
                left -= path.stat().st_size
            if left > 0:
                read.setdefault(row, []).extend(_read(path, trial, device))
    found |= read
    frozen = {table_name(trial) for trial in rows.values() if trial.protocol.frozen}
    for table in frozen:
        found |= once_apart({row: some for row, some in found.items() if row[0] == table})
    return {row: some for row, some in found.items() if some}


def _by_label(folder: Path) -> dict[str, list[Path]]:
    """Return the records in a folder by the label that their names start with."""
    found: dict[str, list[Path]] = {}
    with suppress(OSError):
        for path in sorted(folder.glob("*.json")):
            found.setdefault(path.name.rpartition("-seed")[0], []).append(path)
    return found


def _read(path: Path, planned: Trial, device: str) -> Iterator[Measured]:
    """Yield what the record at `path` tells, if it has the protocol and backbone of `planned`."""
    try:
        record = parse_json(read_bytes(path, MOST_BYTES))
        if record["status"] != "finished" or record["settings"]["device"] != device:
            return
        protocol = as_recorded(Protocol.model_validate(record["trial"]["protocol"]))
        backbone = record["trial"]["parts"].get("backbone")
        name = str(Part.model_validate(backbone)) if backbone else ""
        taken = measured(record["measurements"], device)
    except (DataError, ValueError, KeyError, TypeError, AttributeError):
        return  # the run says which records are damaged
    if taken and name == row_of(planned)[2] and protocol.identity() == planned.protocol.identity():
        yield taken
