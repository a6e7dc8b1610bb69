"""What killed runs and strangers left in an output folder, and how it is put right."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dmlbench.errors import ConfigError, DataError
from dmlbench.storage.claims import FOLDER, Claims, Holder
from dmlbench.storage.leftovers import leftovers, server_time
from dmlbench.storage.record_store import read_record

QUARANTINE = Path("quarantine")
_NEWER = "was made by a newer dmlbench"  # and is no damage
_EMBEDDINGS, _CHECKPOINT = ".safetensors", ".checkpoint"


@dataclass(frozen=True)
class Fault:
    """A file, or the folder of a claim, that does not belong where it is.

    Attributes:
        path: where.
        what: what is wrong with it.
        is_waste: whether it is removed; else it is moved to quarantine.
    """

    path: Path
    what: str
    is_waste: bool


def find_faults(output: Path, runs: Path, leaderboards: Path) -> list[Fault]:
    """Return what is wrong in the folders `runs` and `leaderboards` of `output`, sorted by path.

    What another run is at, now, is no fault.
    """
    faults = [
        Fault(path, "an unfinished file of a process that is gone", True)
        for folder in (runs, leaderboards)
        for path in leftovers(output / folder)
    ]
    claims = Claims(output / runs)
    if claims.folder.is_dir():
        now = server_time(claims.folder)
        faults += [
            Fault(holder.path, "a claim of a process that is gone", True)
            for holder in claims.stale(now)
        ]
    waste = {fault.path for fault in faults}
    faults += [f for f in _foreign(output / runs, claims) if f.path not in waste]
    return sorted(faults, key=lambda fault: fault.path)


def repair(fault: Fault, output: Path) -> Path | None:
    """Remove what is waste, and move the rest to quarantine; return where it is then.

    Raises:
        ConfigError: it can't be removed or moved.
    """
    try:
        if FOLDER in fault.path.relative_to(output).parts:
            (folder,) = (path for path in fault.path.parents if path.name == FOLDER)
            Claims(folder.parent).break_claim(Holder(fault.path, None))
        elif fault.is_waste:
            fault.path.unlink(missing_ok=True)
        if fault.is_waste:
            return None
        target = output / QUARANTINE / fault.path.relative_to(output)
        target.parent.mkdir(parents=True, exist_ok=True)
        while target.exists():
            target = target.with_name(f"{target.name}~")
        fault.path.rename(target)
        return target
    except OSError as error:
        raise ConfigError(f"{fault.path} can't be moved: {error.strerror or error}.") from error


def _foreign(runs: Path, claims: Claims) -> Iterator[Fault]:
    """Yield the files in `runs` that are no readable records and don't belong to one."""
    for folder, folders, names in os.walk(runs):
        folders[:] = [each for each in folders if not each.startswith(".")]  # of claims, executors
        for name in names:
            path = Path(folder, name)
            record = path.with_suffix(".json")
            trial = path.stem.rpartition("-")[2]
            if path.suffix == ".json":
                if reason := _damage(path):
                    yield Fault(path, reason, False)
            elif path.suffix == _CHECKPOINT:
                if record.exists() and not _damage(record, finished=True):
                    yield Fault(path, "a checkpoint of a trial that is finished", True)
            elif path.suffix == _EMBEDDINGS:
                if not record.exists() and claims.holder(trial) is None:
                    yield Fault(path, "embeddings without a record", False)
            elif not name.startswith("."):
                yield Fault(path, "neither a record nor part of one", False)


def _damage(path: Path, *, finished: bool = False) -> str:
    """Return why a file is no record, or not `finished`; empty if it is."""
    try:
        record = read_record(path)
    except DataError as error:
        text = str(error).removeprefix(f"{path} ").rstrip(".")
        return "" if _NEWER in text and not finished else text
    return "it has not finished" if finished and record.status != "finished" else ""
