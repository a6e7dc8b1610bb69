"""Import records that somebody else made, after checking everything that can be checked.

The folder is not trusted: links are not followed, sizes are bounded, and only the code of installed
packages is imported.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISLNK

from dmlbench.audit.plausibility import faults, taken_as_given
from dmlbench.audit.provenance import KnownComponents, KnownData
from dmlbench.components.catalogue import Catalogue
from dmlbench.errors import DataError
from dmlbench.schemas.record import Record
from dmlbench.storage.record_store import Store, read_record


@dataclass(frozen=True)
class CheckedFile:
    """One file, and whether it can be imported."""

    path: Path
    refused: str = ""
    """Why it is not imported; empty if it is."""
    record: Record | None = None
    """What it holds, if it can be imported."""
    notes: tuple[str, ...] = ()
    """What the user should know about it, in sentences."""
    is_there: bool = False
    """Whether we have this record already."""


@dataclass
class RecordChecker:
    """Checks a stranger's records against the records, components and data on this machine."""

    store: Store
    catalogue: Catalogue
    data_dir: Path | None = None
    cache_dir: Path | None = None
    allow_other_data: bool = False

    def __post_init__(self) -> None:
        records, _ = self.store.read_all()
        self._ours = {record.id: record for record in records}
        self._components = KnownComponents(self.catalogue, records)
        self._data = KnownData(self.catalogue, records, self.data_dir, self.cache_dir)

    def findings(self, folder: Path) -> list[CheckedFile]:
        """Check each file below `folder` whose name ends in ``.json``.

        Nothing is written. Where two files hold one trial, the second is compared with the first.

        Raises:
            DataError: there is no such file.
        """
        paths = list(_files(folder))
        if not paths:
            raise DataError(f"There are no records in {folder}: no file ends in .json.")
        found = []
        for path in paths:
            found.append(self._judge(path))
            record = found[-1].record
            if record is not None and not found[-1].is_there:
                self._ours[record.id] = record
        return found

    def _judge(self, path: Path) -> CheckedFile:
        try:
            _check_file(path)
            record = read_record(path)
            wrong = faults(record)
            if wrong:
                raise DataError("; ".join(wrong))
            if self._is_there(record):
                return CheckedFile(path, record=record, is_there=True)
            notes = [
                *self._components.notes(record.trial),
                *self._data.notes(record, others_too=self.allow_other_data),
                *(
                    f"Its {name} can't be recomputed from the record, and is taken as given."
                    for name in taken_as_given(record)
                ),
            ]
        except DataError as error:
            return CheckedFile(path, refused=str(error).removeprefix(f"{path} ").removesuffix("."))
        return CheckedFile(path, record=record, notes=tuple(notes))

    def _is_there(self, record: Record) -> bool:
        """Return whether we have the record, or a finished one where it is of a failure.

        Raises:
            DataError: we have a different record of the same trial.
        """
        ours = self._ours.get(record.id)
        if ours is None:
            if self.store.path(record.trial).exists():
                raise DataError("our own record of its trial is damaged: delete that first")
            return False
        if ours.status == "failed":
            return record.status == "failed"
        if record.status == "failed":
            return True
        if (ours.metrics, ours.last_epoch_metrics) != (record.metrics, record.last_epoch_metrics):
            raise DataError("we have a record of the same trial with other metrics, which stays")
        return True


def import_records(findings: Sequence[CheckedFile], store: Store) -> list[CheckedFile]:
    """Write the records that were neither refused nor there, and return the updated `findings`.

    Each is written whole or not at all.
    """
    return [_taken(found, store) for found in findings]


def _taken(found: CheckedFile, store: Store) -> CheckedFile:
    if found.record is None or found.is_there:
        return found
    try:
        store.write(found.record)
    except OSError as error:
        reason = f"it can't be written to {store.folder}: {error.strerror or error}"
        return replace(found, record=None, refused=reason)
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield the paths below `folder` that end in ``.json``, sorted; no link is followed."""
    for here, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        yield from (Path(here, name) for name in sorted(names) if name.endswith(".json"))


def _check_file(path: Path) -> None:
    try:
        status = path.lstat()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    if S_ISLNK(status.st_mode):
        raise DataError("it is a link, and links are not followed")
