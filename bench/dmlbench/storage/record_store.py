"""The folder that keeps records, and how a record is read."""

import gc
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from dmlbench.errors import ConfigError, DataError, TrialError
from dmlbench.reading import parse_json, read_bytes
from dmlbench.retrieval.kept_embeddings import (
    KeptSplit,
    as_arrays,
    embeddings_by_split,
    has_labels,
)
from dmlbench.schemas.base import as_recorded
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.storage.atomic import slug, write_atomically
from dmlbench.storage.leftovers import remove_leftovers

MOST_BYTES = 1 << 24
"""Largest record that is read: 16 MiB. One with 60,000 queries has about half a MiB."""


class Store:
    """A folder of records: ``<dataset>/<protocol>/<row>-seed<seed>-<id>.json``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check_writable(self, option: str = "--output") -> None:
        """Create the folder, which the user chose with `option`, if need be.

        Remove unfinished files that killed processes have left in it.

        Raises:
            ConfigError: nothing can be written there.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
            remove_leftovers(self.folder)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", error)
            raise ConfigError(
                f"Can't write to {self.folder}: {reason}. Choose another folder with {option}."
            ) from error

    def path(self, trial: Trial) -> Path:
        """Return where the record of `trial` belongs."""
        name = f"{slug(trial.label)}-seed{trial.seed}-{trial.id}.json"
        return self.folder / slug(str(trial.dataset)) / slug(trial.protocol.name) / name

    def write(self, record: Record) -> Path:
        """Write `record` whole or not at all, and return its path."""
        path = self.path(record.trial)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, record.to_json() + "\n")
        return path

    def keep(self, record: Record) -> Record:
        """Write `record` and return it; if that fails, return it as failed, with the reason.

        A failed record does not replace a finished one.
        """
        try:
            if record.status == "finished" or not self._is_finished(record.trial):
                self.write(record)
        except OSError as error:
            reason = f"The record can't be written to {self.folder}: {error.strerror or error}."
            return record.model_copy(update={"status": "failed", "reason": reason})
        return record

    def _is_finished(self, trial: Trial) -> bool:
        try:
            found = self.read(trial)
        except DataError:
            return False
        return found is not None and found.status == "finished"

    def checkpoint_path(self, trial: Trial) -> Path:
        """Return where the checkpoint of `trial` belongs while it is under way."""
        return self.path(trial).with_suffix(".checkpoint")

    def embeddings_path(self, trial: Trial) -> Path:
        """Return where the test embeddings of `trial` belong: beside its record."""
        return self.path(trial).with_suffix(".safetensors")

    def write_embeddings(self, trial: Trial, splits: Mapping[str, KeptSplit]) -> None:
        """Write the embeddings of each split with labels and names, whole or not at all.

        Raises:
            TrialError: they can't be written.
        """
        from safetensors.numpy import save

        path = self.embeddings_path(trial)
        content = save(as_arrays(splits))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            reason = error.strerror or error
            raise TrialError(f"The embeddings can't be written to {path}: {reason}.") from error

    def has_embeddings(self, trial: Trial) -> bool:
        """Return whether the test embeddings of `trial` were kept, with labels as of today."""
        from safetensors import SafetensorError, safe_open

        path = self.embeddings_path(trial)
        try:
            with safe_open(path, "numpy") as file:
                return has_labels(file.keys())
        except (SafetensorError, OSError):
            return False

    def embeddings(self, trial: Trial) -> dict[str, np.ndarray] | None:
        """Return the test embeddings ``[N, E]`` of `trial` by split; None if they were not kept.

        Raises:
            DataError: the file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = self.embeddings_path(trial)
        try:
            return embeddings_by_split(load(path.read_bytes())) if path.is_file() else None
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} can't be read: {error}.") from error

    def read(self, trial: Trial) -> Record | None:
        """Return the record of `trial`, or None if there is none.

        Raises:
            DataError: there is one, but it is damaged.
        """
        path = self.path(trial)
        try:
            there = path.is_file()
        except OSError as error:  # such as a name that is too long
            raise DataError(f"{path} can't be read: {error.strerror}.") from error
        return read_record(path) if there else None

    def read_all(self) -> tuple[list[Record], list[DataError]]:
        """Return all readable records, sorted by path, and an error for each that is not."""
        records: list[Record] = []
        damaged: list[DataError] = []

        def unreadable(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                damaged.append(DataError(f"{error.filename} can't be read: {error.strerror}."))

        paths = [
            Path(folder, name)
            for folder, folders, files in os.walk(self.folder, onerror=unreadable)
            for name in (*folders, *files)
            if name.endswith(".json")
        ]
        with _without_garbage_collection():
            for path in sorted(paths, key=lambda path: path.parts):
                try:
                    records.append(read_record(path))
                except DataError as error:
                    damaged.append(error)
        return records, damaged


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause garbage collection: among many new objects that stay, it takes most of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_record(path: Path) -> Record:
    """Return the record in the file at `path`.

    Fields added since it was written get the value that fits what its trial did, see `Added`.

    Raises:
        DataError: it can't be read, is not a record, was changed, or is from a newer dmlbench.
    """
    content = read_bytes(path, MOST_BYTES)
    try:
        record = as_recorded(Record.model_validate_json(content))
        matches = record.id == record.trial.id
    except ValidationError as error:
        raise DataError(f"{path} {_why_refused(error, content)}.") from None
    except ValueError as error:  # a setting is NaN: JSON has no such number, but parsers take it
        raise DataError(f"{path} is not a record: {error}.") from error
    if not matches:
        raise DataError(f"{path} was changed: its id {record.id} does not match its content.")
    return record


def _why_refused(error: ValidationError, content: bytes) -> str:
    """Return what is wrong with a file, as the rest of a sentence that starts with its name."""
    theirs, ours = _version_in(content), installed_version("dmlbench")
    upgrade = f"this one ({ours}) can't read it. Upgrade dmlbench"
    if _release(theirs) > _release(ours):
        return f"was made by a newer dmlbench ({theirs}): {upgrade}"
    errors = error.errors()
    first = errors[0]
    where = ".".join(map(str, first["loc"]))
    if all(item["type"] == "extra_forbidden" for item in errors):
        return f"was made by a newer dmlbench: it has a field {where[:80]!r}, and {upgrade}"
    for item in errors:
        if item["loc"] == ("schema_version",) and str(item["input"]).isdecimal():
            return f"was made by a newer dmlbench (schema {item['input']!s:.9}): {upgrade}"
    return f"is not a record: {where} {first['msg']}".strip()


def _version_in(content: bytes) -> str:
    """Return the version of dmlbench that a file says has made it, if it says one."""
    try:
        version = str(parse_json(content)["versions"]["dmlbench"])
    except (ValueError, KeyError, TypeError):
        return ""
    return version if re.fullmatch(r"[0-9][0-9A-Za-z.+!-]{0,40}", version) else ""


def _release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``0.10.1rc2`` as (0, 10, 1)."""
    numbers = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", version)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
