"""From a suite to its trials. Whatever is wrong with a request is found here, before a run."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dmlbench.contracts import Dataset, Sampler
from dmlbench.data.items import Data, load_data
from dmlbench.discovery import Catalogue
from dmlbench.embedder import check_input
from dmlbench.entry_points import KINDS
from dmlbench.errors import ConfigError, DataError, PluginError, guarded, nearest
from dmlbench.hyperparameters import check_argument, family_argument, resolve
from dmlbench.protocol import Protocol, load_protocol
from dmlbench.source import source_hash
from dmlbench.suite import Suite
from dmlbench.trial import Part, Trial

HOME = "dmlbench"
"""The distribution whose components are meant where a file that ships names one."""

Settings = Mapping[str, Mapping[str, Any]]
"""By kind of component, or ``protocol``: what ``--set`` sets."""


@dataclass(frozen=True)
class Plan:
    """The trials of a run, and what was left out of it."""

    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    """A sentence each: what, why, and how to get it."""


@dataclass(frozen=True)
class Planner:
    """Unfolds suites with the components and the data of this machine."""

    catalogue: Catalogue
    data_dir: Path | None = None

    def unfold(self, suite: Suite) -> Plan:
        """Return the trials of `suite`, each once.

        A component that can't be imported keeps its trials: each fails by itself, with the reason.

        Raises:
            ConfigError: an unknown name, an impossible combination, a wrong setting.
            DataError, PluginError: a dataset asked for by name is missing, damaged or broken.
        """
        settings = _by_kind(suite.settings)
        references: tuple[str, ...] = suite.datasets
        left_out: list[str] = []
        if references == ("all",):
            references, left_out = self.datasets()
        trials: dict[str, Trial] = {}
        for reference in references:
            try:
                part, dataset = self._dataset(reference, settings)
                protocol = self._protocol(suite.protocol or dataset.protocol, settings)
                data = load_data(dataset, self.data_dir, protocol.image_size)
            except (DataError, PluginError) as error:
                if suite.datasets != ("all",):
                    raise
                left_out.append(f"{reference}: {error}")
                continue
            known: dict[tuple[str, str], Part] = {}
            for row in self._rows(suite, protocol):
                for kind, name in row.items():
                    if (kind, name) not in known:
                        known[kind, name] = self._part(kind, name, settings)
                        self._rehearse(kind, known[kind, name], protocol, data)
                parts = {kind: known[kind, name] for kind, name in row.items()}
                for seed in suite.seeds:
                    trial = Trial(
                        dataset=part,
                        fingerprint=data.fingerprint,
                        protocol=protocol,
                        parts=parts,
                        seed=seed,
                    )
                    trials[trial.id] = trial
        _check_used(settings, trials.values())
        return Plan(tuple(trials.values()), tuple(left_out))

    def datasets(self) -> tuple[tuple[str, ...], list[str]]:
        """Return the datasets that are ready on this machine, and how to get each other one."""
        ready: list[str] = []
        reasons: dict[str, list[str]] = {}
        for reference in self.catalogue.references("dataset"):
            try:
                _, component = self.catalogue.load("dataset", reference)
                with guarded(f"The dataset {reference!r}"):
                    family = family_argument(component)
                    missing = None if family else component().missing(self.data_dir)
            except PluginError as error:
                reasons.setdefault(str(error), []).append(reference)
                continue
            if family:
                missing = f"name your own data, as --dataset {reference}:PATH."
            if missing:
                reasons.setdefault(missing, []).append(reference)
            else:
                ready.append(reference)
        return tuple(ready), [f"{', '.join(names)}: {why}" for why, names in reasons.items()]

    def _dataset(self, reference: str, settings: Settings) -> tuple[Part, Dataset]:
        part = self._part("dataset", reference, settings, must_load=True)
        return part, self.catalogue.make("dataset", reference, part.settings)

    def _protocol(self, name: str, settings: Settings) -> Protocol:
        protocol = load_protocol(name)
        for key, value in settings.get("protocol", {}).items():
            protocol = protocol.change(key, str(value))
        return protocol

    def _rehearse(self, kind: str, part: Part, protocol: Protocol, data: Data) -> None:
        """Make a sampler or a backbone, to find out whether it fits the data.

        One that is broken fails in its trials.

        Raises:
            ConfigError: it doesn't: a batch can't be filled, or images meet a network for vectors.
        """
        if kind not in ("sampler", "backbone") or not part.source:
            return
        items = next(iter(data.splits.values()))
        with suppress(PluginError), guarded(f"The {kind} {part.reference!r}"):
            component = self.catalogue.make(kind, part.reference, part.settings)
            if isinstance(component, Sampler):
                size, rng = protocol.batch_size, np.random.default_rng(0)
                next(iter(component.batches(items.labels, batch_size=size, steps=1, rng=rng)))
            else:
                check_input(component, items)

    def _rows(self, suite: Suite, protocol: Protocol) -> Iterator[dict[str, str]]:
        """Yield the references of each row's components by kind."""
        meant = self.catalogue.meant
        common = {
            "sampler": suite.sampler or meant("sampler", protocol.sampler, HOME),
            "backbone": suite.backbone or meant("backbone", protocol.backbone, HOME),
        }
        for chosen in (*self._loss_rows(suite), *self._probe_rows(suite)):
            yield {**chosen, **common}
        baselines = suite.baselines
        if baselines == "all":
            baselines = tuple(self.catalogue.references("baseline"))
        elif baselines == "floors":
            floors = protocol.baselines.floors
            baselines = tuple(meant("baseline", floor, HOME) for floor in floors)
        for baseline in baselines:
            yield {"baseline": baseline, **self._network_of(baseline, common)}

    def _loss_rows(self, suite: Suite) -> Iterator[dict[str, str]]:
        everything = self.catalogue.references("loss")
        for reference in everything if suite.losses == "all" else suite.losses:
            component = self._try("loss", reference)
            if component is not None and component.takes == "labels":
                if isinstance(suite.miners, tuple):
                    raise ConfigError(
                        f"{reference} learns from labels and takes no miner. Losses that do: "
                        f"{', '.join(self._mined())}."
                    )
                yield {"loss": reference}
            elif isinstance(suite.miners, tuple):
                yield from ({"loss": reference, "miner": miner} for miner in suite.miners)
            elif component is None:
                yield {"loss": reference}
            else:
                yield {"loss": reference, "miner": self._default_miner(reference, component)}

    def _probe_rows(self, suite: Suite) -> Iterator[dict[str, str]]:
        if suite.miners != "all":
            return
        names = [self.catalogue.meant("loss", probe, HOME) for probe in suite.probes]
        probes = {name: self._try("loss", name) for name in names}
        if not probes or any(loss and loss.takes == "labels" for loss in probes.values()):
            raise ConfigError(
                f"miners = 'all' needs probes: losses that take a miner, not {suite.probes}. "
                f"There are: {', '.join(self._mined())}."
            )
        for miner in self.catalogue.references("miner"):
            component = self._try("miner", miner)
            for reference, loss in probes.items():
                if loss is None or component is None or loss.takes != component.makes:
                    continue
                if self._default_miner(reference, loss) != miner:
                    yield {"loss": reference, "miner": miner}
                break
            else:
                yield {"loss": names[0], "miner": miner}

    def _default_miner(self, reference: str, loss: Any) -> str:
        home = self.catalogue.find("loss", reference).entry.distribution
        return self.catalogue.meant("miner", loss.default_miner, home)

    def _mined(self) -> list[str]:
        losses = {name: self._try("loss", name) for name in self.catalogue.references("loss")}
        return [name for name, loss in losses.items() if loss and loss.takes != "labels"]

    def _network_of(self, baseline: str, common: Mapping[str, str]) -> dict[str, str]:
        """Return the backbone if the baseline works on an untrained network's embeddings."""
        takes = getattr(self._try("baseline", baseline), "takes", "pixels")
        return {"backbone": common["backbone"]} if takes == "embeddings" else {}

    def _try(self, kind: str, reference: str) -> Any:
        """Return the component, or None if it is there but can't be imported."""
        try:
            return self.catalogue.load(kind, reference)[1]
        except PluginError:
            return None

    def _part(
        self, kind: str, reference: str, settings: Settings, *, must_load: bool = False
    ) -> Part:
        found = self.catalogue.find(kind, reference)
        entry, given = found.entry, settings.get(kind, {})
        name = entry.name
        if found.argument is not None:
            name += reference[-len(found.argument) - 1 :]
        part = Part(
            reference=reference,
            name=name,
            distribution=entry.distribution,
            version=entry.version,
            settings=dict(given),
        )
        try:
            component = self.catalogue.load(kind, reference)[1]
            check_argument(component, kind, reference, found.argument)
            values = resolve(component, kind, given)
            defaults = resolve(component, kind, {})
        except PluginError:
            if must_load or not entry.distribution:
                raise
            return part
        changed = {key: value for key, value in values.items() if value != defaults[key]}
        return part.model_copy(
            update={"source": source_hash(component), "settings": values, "changed": changed}
        )


def _by_kind(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return ``{"loss.margin": 0.3}`` as ``{"loss": {"margin": 0.3}}``.

    Raises:
        ConfigError: a key that starts with no kind of component, nor with ``protocol``.
    """
    sorted_out: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        kind, dot, name = key.partition(".")
        if not dot or kind not in (*KINDS, "protocol"):
            raise ConfigError(
                f"--set {key}={value}: a setting is named as loss.margin or protocol.length.epochs."
                + nearest(kind, (*KINDS, "protocol"))
            )
        sorted_out.setdefault(kind, {})[name] = value
    return sorted_out


def _check_used(settings: Settings, trials: Collection[Trial]) -> None:
    """Check that every setting is of a kind of component that takes part.

    Raises:
        ConfigError: one is not, and so would change nothing.
    """
    used = {"protocol", "dataset"}.union(*(trial.parts for trial in trials))
    for kind in settings:
        if trials and kind not in used:
            raise ConfigError(
                f"--set {kind}.{next(iter(settings[kind]))}: no {kind} takes part in this run."
            )
