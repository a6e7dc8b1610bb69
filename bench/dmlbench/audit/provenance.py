"""Components and data that are known here, to check a stranger's records against.

Known are those of our records, installed components, and data on this machine. Nothing that a
record names is imported unless an installed package offers it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose, make, terms
from dmlbench.components.entry_points import Entry
from dmlbench.data.items import load_data
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.errors import ConfigError, DataError, DmlbenchError, PluginError, guarded
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Part, Trial, canonical_json


class KnownComponents:
    """The sources of the components that we know."""

    def __init__(self, catalogue: Catalogue, records: Sequence[Record]) -> None:
        self.catalogue = catalogue
        self._sources: dict[tuple[str, str, str], set[str]] = {}
        for record in records:
            for kind, part in _parts(record.trial).items():
                if part.source:
                    self._sources.setdefault(_name(kind, part), set()).add(part.source)

    def notes(self, trial: Trial) -> Iterator[str]:
        """Yield what a user should know about the components of `trial`, a sentence each.

        Raises:
            DataError: a component is not what it is said to be.
        """
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
            source = composition.source()
        except (ConfigError, PluginError):
            return set()
        names = trial.protocol.baselines.names if kind == "baseline" else {}
        name = names.get(composition.name, composition.name)
        if (name, composition.distribution) != (part.name, part.distribution):
            raise DataError(
                f"its {kind} {part.name!r} of {part.distribution} is loaded as "
                f"{part.reference!r}, which is {name!r} of {composition.distribution}"
            )
        return {source}

    def _entries(self, kind: str, reference: str) -> list[Entry]:
        """Return the entries that a reference names, not imported; none if one is unknown.

        Only an entry with a distribution is installed, and so safe to import.
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


class KnownData:
    """The fingerprints of the data that we know, and how many items are relevant to each query."""

    def __init__(
        self,
        catalogue: Catalogue,
        records: Sequence[Record],
        data_dir: Path | None,
        cache_dir: Path | None,
    ) -> None:
        self.catalogue = catalogue
        self.data_dir = data_dir
        self.cache_dir = cache_dir
        self._fingerprints: dict[str, set[str]] = {}
        self._relevant: dict[str, bytes] = {}
        for record in records:
            key, fingerprint = _data_key(record.trial), record.trial.fingerprint
            if fingerprint:
                self._fingerprints.setdefault(key, set()).add(fingerprint)
            if "relevant" in record.per_query:
                self._relevant.setdefault(key + fingerprint, _relevant(record))

    def notes(self, record: Record, *, others_too: bool) -> Iterator[str]:
        """Yield what a user should know about the data of `record`, in a sentence.

        Args:
            record: somebody else's.
            others_too: whether its data may differ from ours.

        Raises:
            DataError: they differ, or its results are not of their test items.
        """
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
            if not others_too:
                raise DataError(
                    f"its data {what}: {trial.dataset} with the fingerprint {trial.fingerprint}"
                    f"{', ours ' + ', '.join(sorted(known)) if known else ''} (--allow-other-data "
                    "accepts it all the same, as a table of its own)"
                )
            yield f"The data of {trial.dataset}, fingerprint {trial.fingerprint}, {what}."
        ours = self._relevant.get(key + trial.fingerprint)
        if ours and "relevant" in record.per_query and _relevant(record) != ours:
            raise DataError("its test items are others than those of our records on that data")

    def _at_hand(self, trial: Trial) -> str | None:
        """Return the fingerprint of an installed dataset whose data are on this machine."""
        part = trial.dataset
        try:
            found = self.catalogue.find("dataset", part.reference)
            if not found.entry.distribution or found.argument is not None:  # code, a path of theirs
                return None
            dataset = make(self.catalogue, "dataset", part.reference, part.settings)
            with guarded(f"The dataset {part.name!r}"):
                if dataset.missing(self.data_dir):
                    return None
            photos = PhotoFormat.of(trial.protocol)
            return load_data(dataset, self.data_dir, photos, cache_dir=self.cache_dir).fingerprint
        except DmlbenchError:
            return None


def _parts(trial: Trial) -> dict[str, Part]:
    return {"dataset": trial.dataset, **trial.parts}


def _relevant(record: Record) -> bytes:
    return record.per_query["relevant"].unpack().tobytes()


def _name(kind: str, part: Part) -> tuple[str, str, str]:
    return kind, part.name, part.distribution


def _data_key(trial: Trial) -> str:
    """Return all that decides a dataset's fingerprint besides its content."""
    dataset = trial.dataset.model_dump(mode="json", include={"name", "distribution", "settings"})
    return canonical_json([dataset, str(PhotoFormat.of(trial.protocol))])
