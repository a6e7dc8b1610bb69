"""Take records that somebody else made, after a look at everything that can be looked at.

The folder is not trusted: links are not followed, sizes are bounded, and no code is imported but
that of installed packages.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from stat import S_ISLNK, S_ISREG

from dmlbench.composition import compose, terms
from dmlbench.data.decoding import PhotoFormat
from dmlbench.data.items import load_data
from dmlbench.discovery import Catalogue
from dmlbench.entry_points import Entry
from dmlbench.errors import ConfigError, DataError, DmlbenchError, PluginError, guarded
from dmlbench.plausibility import faults
from dmlbench.records import Record, Store, read_record
from dmlbench.trial import Part, Trial, canonical_json

MAX_BYTES = 1 << 24
"""Largest file that is read: 16 MiB. A record with 60,000 queries has about half a MiB."""


@dataclass(frozen=True)
class Finding:
    """What is to be done with one file."""

    path: Path
    refused: str = ""
    """Why it is not taken; empty if it is."""
    record: Record | None = None
    """What it holds, if it can be taken."""
    notes: tuple[str, ...] = ()
    """What should be known of it, in sentences."""
    is_there: bool = False
    """Whether we have this record already."""


@dataclass
class Judge:
    """Compares a stranger's records with the records, the components and the data that are here."""

    store: Store
    catalogue: Catalogue
    data_dir: Path | None = None
    cache_dir: Path | None = None
    allow_other_data: bool = False
    _ours: dict[str, Record] = field(default_factory=dict, init=False)
    _sources: dict[tuple[str, str, str], set[str]] = field(default_factory=dict, init=False)
    _fingerprints: dict[str, set[str]] = field(default_factory=dict, init=False)
    _relevant: dict[str, bytes] = field(default_factory=dict, init=False)
    """By data: how many items each test item has to find."""

    def __post_init__(self) -> None:
        for record in self.store.read_all()[0]:
            self._remember(record)
            for kind, part in _parts(record.trial).items():
                if part.source:
                    self._sources.setdefault(_name(kind, part), set()).add(part.source)
            if record.trial.fingerprint:
                known = self._fingerprints.setdefault(_data_key(record.trial), set())
                known.add(record.trial.fingerprint)

    def findings(self, folder: Path) -> list[Finding]:
        """Return what is to be done with each file below `folder` whose name ends in ``.json``.

        Nothing is written. Of two files with one trial the second is compared with the first.

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
                self._remember(record)
        return found

    def _judge(self, path: Path) -> Finding:
        try:
            _check_file(path)
            record = read_record(path)
            wrong = faults(record)
            if wrong:
                raise DataError("; ".join(wrong))
            if self._is_there(record):
                return Finding(path, record=record, is_there=True)
            notes = [*self._notes_on_parts(record.trial), *self._notes_on_data(record)]
        except DataError as error:
            return Finding(path, refused=str(error).removeprefix(f"{path} ").removesuffix("."))
        return Finding(path, record=record, notes=tuple(notes))

    def _remember(self, record: Record) -> None:
        self._ours[record.id] = record
        if "relevant" in record.per_query:
            key = _data_key(record.trial) + record.trial.fingerprint
            self._relevant.setdefault(key, _values(record, "relevant"))

    def _is_there(self, record: Record) -> bool:
        """Return whether we have the record, or a finished one of the trial that failed in it.

        Raises:
            DataError: we have another one of the same trial.
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

    def _notes_on_parts(self, trial: Trial) -> Iterator[str]:
        for kind, part in _parts(trial).items():
            if not part.source:
                continue  # it could not be loaded there, so the trial failed
            if not part.distribution:
                yield f"The {kind} {part.name!r} is a file of theirs, in no package."
                continue
            ours = self._sources.get(_name(kind, part), set()) | self._installed(trial, kind, part)
            if not ours:
                yield f"The {kind} {part.name!r} of {part.distribution} is not known here."
            elif part.source not in ours:
                yield (
                    f"The {kind} {part.name!r} of {part.distribution} has another source "
                    f"({part.source[:7]}) than ours: its rows are other rows."
                )

    def _installed(self, trial: Trial, kind: str, part: Part) -> set[str]:
        """Return the source of the installed component of that name, if there is one.

        Raises:
            DataError: what would load it again is something else.
        """
        entries = self._entries(kind, part.reference)
        for entry in entries:
            if not entry.distribution and (kind != "dataset" or ".py:" in entry.value):
                raise DataError(
                    f"its {kind} {part.name!r} is said to be of {part.distribution}, but is loaded "
                    f"from {entry.value!r}"
                )
        if not entries or not all(entry.distribution for entry in entries):
            return set()
        try:
            composition = compose(self.catalogue, kind, part.reference)
        except (ConfigError, PluginError):
            return set()
        names = trial.protocol.baselines.names if kind == "baseline" else {}
        name = names.get(composition.name, composition.name)
        if (name, composition.distribution) != (part.name, part.distribution):
            raise DataError(
                f"its {kind} {part.name!r} of {part.distribution} is loaded as "
                f"{part.reference!r}, which is {name!r} of {composition.distribution}"
            )
        return {composition.source()}

    def _entries(self, kind: str, reference: str) -> list[Entry]:
        """Return all that a reference names, without importing it; nothing if a part is unknown.

        Only what has a distribution is installed, and no risk to import.
        """
        try:
            found = [self.catalogue.find(kind, term.reference) for term in terms(kind, reference)]
        except ConfigError:
            return []
        inside = [each.argument for each in found if kind == "loss" and each.argument]
        entries = [self._entries(kind, each) for each in inside]
        if not all(entries):
            return []
        return [each.entry for each in found] + [entry for some in entries for entry in some]

    def _notes_on_data(self, record: Record) -> Iterator[str]:
        trial = record.trial
        key = _data_key(trial)
        if not trial.fingerprint:
            return  # it could not be loaded there, so the trial failed
        if key not in self._fingerprints:
            at_hand = self._at_hand(trial)
            self._fingerprints[key] = {at_hand} if at_hand else set()
        known = self._fingerprints[key]
        if trial.fingerprint not in known:
            what = "are not the ones we have" if known else "are not known here"
            if not self.allow_other_data:
                raise DataError(
                    f"its data {what}: {trial.dataset} with the fingerprint {trial.fingerprint}"
                    f"{', ours ' + ', '.join(sorted(known)) if known else ''} (--allow-other-data "
                    "takes it all the same, as a table of its own)"
                )
            yield f"The data of {trial.dataset}, fingerprint {trial.fingerprint}, {what}."
        ours = self._relevant.get(key + trial.fingerprint)
        if ours and "relevant" in record.per_query and _values(record, "relevant") != ours:
            raise DataError("its test items are others than those of our records on that data")

    def _at_hand(self, trial: Trial) -> str | None:
        """Return the fingerprint of an installed dataset whose data are on this machine."""
        part = trial.dataset
        try:
            found = self.catalogue.find("dataset", part.reference)
            if not found.entry.distribution or found.argument is not None:  # code, a path of theirs
                return None
            dataset = self.catalogue.make("dataset", part.reference, part.settings)
            with guarded(f"The dataset {part.name!r}"):
                if dataset.missing(self.data_dir):
                    return None
            photos = PhotoFormat.of(trial.protocol)
            return load_data(dataset, self.data_dir, photos, cache_dir=self.cache_dir).fingerprint
        except DmlbenchError:
            return None


def take(findings: Sequence[Finding], store: Store) -> list[Finding]:
    """Write the records that were neither refused nor there; return `findings` as they came out.

    Each is written whole or not at all.
    """
    return [_taken(found, store) for found in findings]


def _taken(found: Finding, store: Store) -> Finding:
    if found.record is None or found.is_there:
        return found
    try:
        store.write(found.record)
    except OSError as error:
        reason = f"it can't be written to {store.folder}: {error.strerror or error}"
        return replace(found, record=None, refused=reason)
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield the paths below `folder` that end in ``.json``, sorted; links to folders stay shut."""
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
    if not S_ISREG(status.st_mode):
        raise DataError("it is no regular file")
    if status.st_size > MAX_BYTES:
        raise DataError(f"it has {status.st_size:,} bytes, more than {MAX_BYTES:,}")


def _parts(trial: Trial) -> dict[str, Part]:
    return {"dataset": trial.dataset, **trial.parts}


def _values(record: Record, name: str) -> bytes:
    return record.per_query[name].unpack().tobytes()


def _name(kind: str, part: Part) -> tuple[str, str, str]:
    return kind, part.name, part.distribution


def _data_key(trial: Trial) -> str:
    """Return what decides a dataset's fingerprint but its content: photos are kept as they say."""
    dataset = trial.dataset.model_dump(mode="json", include={"name", "distribution", "settings"})
    return canonical_json([dataset, str(PhotoFormat.of(trial.protocol))])
