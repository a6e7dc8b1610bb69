"""From a suite to its trials. Whatever is wrong with a request is found here, before a run."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose, make, terms
from dmlbench.components.file_hashes import file_hashes
from dmlbench.components.first_import import try_first_imports
from dmlbench.components.hyperparameters import family_argument, hyperparameters
from dmlbench.contracts.components import Dataset, Sampler
from dmlbench.contracts.hub import cached_revision, hub_revision
from dmlbench.data.items import Data, load_data
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.photos.store import OnProgress
from dmlbench.data.prepare.availability import how_to_get
from dmlbench.data.remarks import remarks
from dmlbench.errors import ConfigError, DataError, PluginError, guarded, nearest
from dmlbench.planning.combinations import HOME, Combinations, Settings
from dmlbench.planning.dataset_tables import dataset_key
from dmlbench.planning.idle_settings import IdleSettings
from dmlbench.planning.named_components import named_components
from dmlbench.schemas.plan import Plan, Workload, table_name
from dmlbench.schemas.private_paths import reference_without_folders
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import read_protocol_file
from dmlbench.schemas.suite import Suite
from dmlbench.schemas.trial import ROW_KINDS, Part, Trial, canonical_json
from dmlbench.training.embedder import check_input
from dmlbench.training.sampling import extras
from dmlbench.training.workload import workload


@dataclass(frozen=True)
class Planner:
    """Unfolds suites into trials, with the components and the data of this machine."""

    catalogue: Catalogue
    data_dir: Path | None = None
    cache_dir: Path | None = None
    on_progress: OnProgress = lambda done, total: None
    """Called with the number of photos decoded so far, and of all in a dataset."""
    allow_partial: bool = False
    """Whether datasets that have a setting ``partial`` may be incomplete."""

    _asked_hub: dict[str, None] = field(default_factory=dict, init=False, compare=False)

    def unfold(self, suite: Suite) -> Plan:
        """Return the trials of `suite`, each once.

        A component that can't be imported keeps its trials; each then fails with the reason.

        Raises:
            ConfigError: an unknown name, an impossible combination, a wrong setting.
            DataError, PluginError: a dataset asked for by name is missing, damaged or broken.
        """
        settings = _by_kind(suite.settings)
        _check_said_once(suite, settings)
        try_first_imports(named_components(self.catalogue, suite))
        idle = IdleSettings(settings.get("protocol", {}))
        references: tuple[str, ...] = suite.datasets
        left_out: list[str] = []
        if references == ("all",):
            references, left_out = self.datasets()
        trials: dict[str, Trial] = {}
        odd: dict[str, None] = {}
        workloads: dict[str, Workload] = {}
        for reference in references:
            try:
                part, dataset = self._dataset(reference, settings)
                for sampler in suite.samplers or (None,):
                    file = read_protocol_file(suite.protocol or dataset.protocol)
                    usual = file.resolved(dataset_key(self.catalogue, reference, file))
                    protocol = self._changed(usual, sampler, settings)
                    data = self._data(dataset, protocol)
                    idle.look_at(usual, protocol, data)
                    odd |= dict.fromkeys(f"{part}: {remark}" for remark in remarks(data))
                    found = {t.id: t for t in self._trials(suite, part, protocol, data, settings)}
                    trials |= found
                    if found and (taken := workload(protocol, data)):
                        workloads[table_name(next(iter(found.values())))] = taken
            except (DataError, PluginError) as error:
                if suite.datasets != ("all",):
                    raise
                left_out.append(f"{reference}: {error}")
        idle.refuse()
        _check_used(settings, trials.values())
        remarked = (*odd, *self._asked_hub)
        return Plan(tuple(trials.values()), tuple(left_out), remarked, workloads)

    def _trials(
        self, suite: Suite, dataset: Part, protocol: Protocol, data: Data, settings: Settings
    ) -> Iterator[Trial]:
        known: dict[str, Part] = {}
        for row in Combinations(self.catalogue).rows(suite, protocol, settings):
            for kind, (name, given) in row.items():
                key = canonical_json([kind, name, given])
                if key not in known:
                    known[key] = _shown(kind, self._part(kind, name, given), protocol)
                    self._rehearse(kind, known[key], protocol, data)
            parts = {
                kind: known[canonical_json([kind, name, given])]
                for kind, (name, given) in row.items()
            }
            for seed in suite.seeds:
                yield Trial(
                    dataset=dataset,
                    fingerprint=data.fingerprint,
                    protocol=protocol,
                    parts=parts,
                    seed=seed,
                )

    def datasets(self) -> tuple[tuple[str, ...], list[str]]:
        """Return the datasets that are ready on this machine, and how to get each other one."""
        ready: list[str] = []
        reasons: dict[str, list[str]] = {}
        for reference in self.catalogue.references("dataset"):
            missing: str | None
            try:
                found, component = self.catalogue.load("dataset", reference)
                if family_argument(component):
                    missing = f"name your own data, as --dataset {reference}:PATH."
                else:
                    settings = self._partial(component)
                    missing = how_to_get(found.entry, component, self.data_dir, **settings)
            except PluginError as error:
                missing = str(error)
            if missing:
                reasons.setdefault(missing, []).append(reference)
            else:
                ready.append(reference)
        return tuple(ready), [f"{', '.join(names)}: {why}" for why, names in reasons.items()]

    def _dataset(self, reference: str, settings: Settings) -> tuple[Part, Dataset]:
        _, component = self.catalogue.load("dataset", reference)
        given = {**self._partial(component), **settings.get("dataset", {})}
        part = self._part("dataset", reference, given, must_load=True)
        return part, make(self.catalogue, "dataset", reference, part.located().settings)

    def _data(self, dataset: Dataset, protocol: Protocol) -> Data:
        return load_data(
            dataset,
            self.data_dir,
            PhotoFormat.of(protocol),
            cache_dir=self.cache_dir,
            on_progress=self.on_progress,
        )

    def _partial(self, component: type) -> dict[str, bool]:
        known = hyperparameters(component) if self.allow_partial else {}
        return {"partial": True} if "partial" in known else {}

    def _changed(self, protocol: Protocol, sampler: str | None, settings: Settings) -> Protocol:
        """Return the protocol with its changes, in the order of its fields: one name for each."""
        changes = dict(settings.get("protocol", {}))
        if sampler is not None:
            changes["sampler"] = sampler
        order = protocol.fields()
        for key in sorted(changes, key=lambda key: order.index(key) if key in order else 0):
            text = str(changes[key])
            if key in ("backbone", "sampler"):
                own = getattr(protocol, key)
                if self.catalogue.is_same(key, text, self.catalogue.qualify(key, own, HOME)):
                    continue  # the same component, spelt differently
            protocol = protocol.change(key, text)
        return protocol

    def _rehearse(self, kind: str, part: Part, protocol: Protocol, data: Data) -> None:
        """Make a sampler or a backbone, to check that it fits the data.

        One that is broken is let through: its trials fail.

        Raises:
            ConfigError: a batch can't be filled, or a network for vectors would get images.
        """
        if kind not in ("sampler", "backbone") or not part.source:
            return
        items = next(iter(data.splits.values()))
        with suppress(PluginError), guarded(f"The {kind} {part.reference!r}"):
            located = part.located()
            component = make(self.catalogue, kind, located.reference, located.settings)
            if isinstance(component, Sampler):
                stand_in = np.eye(len(items), protocol.embedding_dim, dtype=np.float32)
                more = extras(component, items, lambda: stand_in)
                size, rng = protocol.batch_size, np.random.default_rng(0)
                made = component.batches(items.labels, batch_size=size, steps=1, rng=rng, **more)
                next(iter(made))
            else:
                check_input(component, items)

    def _part(
        self, kind: str, reference: str, given: Mapping[str, Any], *, must_load: bool = False
    ) -> Part:
        try:
            composition = compose(self.catalogue, kind, reference)
            values, defaults = (
                self._resolved(kind, reference, composition.resolve(kind, some))
                for some in (given, {})
            )
            files, code = self._files(kind, reference, values), composition.code()
            origin = composition.origin()
            revisions = self._revisions(kind, reference, values)
        except PluginError:
            found = self.catalogue.find(kind, terms(kind, reference)[0].reference)
            entry = found.entry
            if must_load or not entry.distribution:
                raise
            alone = len(terms(kind, reference)) == 1 and found.argument is None
            return Part(
                reference=reference,
                name=reference_without_folders(entry.name if alone else reference),
                distribution=entry.distribution,
                version=entry.version,
                settings=dict(given),
            )
        return Part(
            reference=reference,
            name=reference_without_folders(origin.name),
            distribution=origin.distribution,
            version=composition.version,
            source=origin.source,
            libraries=code.libraries,
            settings=composition.to_record(values),
            changed={key: value for key, value in values.items() if value != defaults[key]},
            files=files,
            revisions=revisions,
        )

    def _resolved(self, kind: str, reference: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return `settings` with what a backbone's stand for, see `Backbone.resolved`.

        Raises:
            ConfigError: they do not go together.
            PluginError: it names a setting that there is not.
        """
        if kind != "backbone":
            return dict(settings)
        backbone = make(self.catalogue, kind, reference, settings)
        with guarded(f"The backbone {reference!r}"):
            found = backbone.resolved()
        unknown = sorted(found.keys() - settings.keys())
        if unknown:
            raise PluginError(
                f"`resolved` of the backbone {reference!r} names {unknown[0]!r}, which is no "
                "setting of it."
            )
        return {**settings, **found}

    def _files(self, kind: str, reference: str, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return a hash of each file that a backbone's settings name."""
        if kind != "backbone":
            return {}
        backbone = make(self.catalogue, kind, reference, settings)
        with guarded(f"The backbone {reference!r}"):
            files = backbone.files()
        return file_hashes(files)

    def _revisions(self, kind: str, reference: str, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the revision of each model of the hub that a backbone's settings name.

        One that can't be told is left out: its trials go on to say how to get the weights.
        """
        if kind != "backbone":
            return {}
        backbone = make(self.catalogue, kind, reference, settings)
        with guarded(f"The backbone {reference!r}"):
            repositories = backbone.repositories()
        found = {}
        for setting, repository in repositories.items():
            was_cached = bool(cached_revision(repository))
            try:
                found[setting] = f"{repository}@{hub_revision(repository)}"
            except DataError as error:
                self._asked_hub[str(error)] = None
            else:
                if not was_cached:
                    self._asked_hub[
                        f"{repository} is not in the hub's local cache: the hub was asked for its "
                        "revision, and trials will fetch it."
                    ] = None
        return found


def _shown(kind: str, part: Part, protocol: Protocol) -> Part:
    """Return `part` under the name that the protocol gives it in tables."""
    names = protocol.baselines.names if kind == "baseline" else {}
    return part.model_copy(update={"name": names.get(part.name, part.name)})


def _by_kind(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return ``{"loss.margin": 0.3}`` as ``{"loss": {"margin": 0.3}}``.

    Raises:
        ConfigError: a key that starts with no kind of component, nor with ``protocol``.
    """
    kinds = ("dataset", *ROW_KINDS, "protocol")
    sorted_out: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        kind, dot, name = key.partition(".")
        if not dot or kind not in kinds:
            raise ConfigError(
                f"--set {key}={value}: a setting is named as loss.margin or protocol.length.epochs."
                + nearest(kind, (*kinds, "executor"))
            )
        sorted_out.setdefault(kind, {})[name] = value
    return sorted_out


def _check_said_once(suite: Suite, settings: Settings) -> None:
    """Check that no backbone or sampler is named in two ways, of which one would do nothing.

    Raises:
        ConfigError: one is.
    """
    named = {"backbone": suite.backbone, "sampler": suite.samplers}
    for kind in settings.get("protocol", {}).keys() & named.keys():
        if named[kind]:
            raise ConfigError(
                f"--set protocol.{kind} would change nothing beside --{kind}. Leave one out."
            )


def _check_used(settings: Settings, trials: Collection[Trial]) -> None:
    """Check that every setting belongs to a kind of component that takes part.

    Raises:
        ConfigError: one does not, and so would change nothing.
    """
    used = {"protocol", "dataset"}.union(*(trial.parts for trial in trials))
    for kind in settings:
        if trials and kind not in used:
            raise ConfigError(
                f"--set {kind}.{next(iter(settings[kind]))}: no {kind} takes part in this run."
            )
