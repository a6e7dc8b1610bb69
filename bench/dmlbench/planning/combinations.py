"""Which components make up a row: a loss with miner, sampler and backbone, or a baseline."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import Composition, compose, qualify, terms
from dmlbench.errors import ConfigError, PluginError
from dmlbench.planning.aimed_settings import aim
from dmlbench.schemas.protocol import PAPER, Protocol
from dmlbench.schemas.suite import Suite

HOME = "dmlbench"
"""The distribution whose components the shipped protocols and suites mean."""

Chosen = tuple[str, Mapping[str, Any]]
"""A component's reference and its settings."""

Settings = Mapping[str, Mapping[str, Any]]
"""By kind of component, or ``protocol``: what ``--set`` sets."""


@dataclass(frozen=True)
class Combinations:
    """The rows that a suite asks for, from the components of this machine."""

    catalogue: Catalogue

    def rows(
        self, suite: Suite, protocol: Protocol, settings: Settings
    ) -> Iterator[dict[str, Chosen]]:
        """Yield each row's components by kind: references and settings.

        Raises:
            ConfigError: an unknown name, or components that don't go together.
        """
        backbone = self._backbone(suite, protocol, settings)
        rows = [*self._loss_rows(suite), *self._probe_rows(suite)]
        given = {
            kind: self._aim(kind, [row[kind] for row in rows if kind in row], settings)
            for kind in ("loss", "miner")
        }
        for chosen in rows:
            named = {kind: (name, given[kind][name]) for kind, name in chosen.items()}
            sampler = self._sampler(protocol, chosen["loss"], settings)
            yield {**named, "backbone": backbone, "sampler": sampler}
        baselines = suite.baselines
        if baselines == "all":
            baselines = tuple(self.catalogue.references("baseline"))
        elif baselines == "floors":
            floors = protocol.baselines.floors
            baselines = tuple(self.catalogue.qualify("baseline", floor, HOME) for floor in floors)
        of_baselines = self._aim("baseline", baselines, settings)
        for baseline in baselines:
            takes = getattr(self._try("baseline", baseline), "takes", "pixels")
            row: dict[str, Chosen] = {"baseline": (baseline, of_baselines[baseline])}
            if protocol.frozen or takes == "embeddings":
                row["backbone"] = backbone
            yield row

    def _aim(
        self, kind: str, references: Iterable[str], settings: Settings
    ) -> dict[str, dict[str, Any]]:
        return aim(self.catalogue, kind, references, settings.get(kind, {}))

    def _backbone(self, suite: Suite, protocol: Protocol, settings: Settings) -> Chosen:
        """Return the backbone asked for, or the protocol's with the settings that it names."""
        given = settings.get("backbone", {})
        own = self.catalogue.qualify("backbone", protocol.backbone, HOME)
        asked = suite.backbone
        if asked in (None, protocol.backbone) or self.catalogue.is_same("backbone", asked, own):
            return own, {**protocol.backbone_settings, **given}
        return asked, given

    def _sampler(self, protocol: Protocol, loss: str, settings: Settings) -> Chosen:
        """Return the protocol's sampler, or the one that the source of `loss` uses."""
        given = settings.get("sampler", {})
        if protocol.sampler != PAPER:
            own = self.catalogue.qualify("sampler", protocol.sampler, HOME)
            return own, {**protocol.sampler_settings, **given}
        composition = self._compose(loss)
        if composition is None:  # fails in its trials, whatever the sampler
            return self.catalogue.qualify("sampler", "random", HOME), given
        first = composition.ingredients[0].innermost
        name, usual = first.component.paper_sampler
        owner = first.entry.distribution or HOME
        return self.catalogue.qualify("sampler", name, owner), {**usual, **given}

    def _loss_rows(self, suite: Suite) -> Iterator[dict[str, str]]:
        everything = [self._as_trained(name) for name in self.catalogue.references("loss")]
        for reference in everything if suite.losses == "all" else suite.losses:
            composition = self._compose(reference)
            mined = [] if composition is None else composition.losses_with_miner
            if composition is not None and not mined:
                if isinstance(suite.miners, tuple):
                    raise ConfigError(
                        f"{reference} learns from labels and takes no miner. Losses that do: "
                        f"{', '.join(self._losses_with_miner())}."
                    )
                yield {"loss": reference}
            elif isinstance(suite.miners, tuple):
                for miner in suite.miners:
                    if composition is not None:
                        _check_miners(reference, len(mined), miner)
                    yield {"loss": reference, "miner": miner}
            elif composition is None:
                yield {"loss": reference}
            else:
                yield {"loss": reference, "miner": self._default_miner(composition)}

    def _as_trained(self, reference: str) -> str:
        """Return what ``losses = "all"`` runs for a loss: it, or the sum that its paper trains."""
        component = self._try("loss", reference)
        if component is None or not component.trained_as:
            return reference
        owner = self.catalogue.find("loss", reference).entry.distribution
        return qualify(self.catalogue, "loss", component.trained_as, owner)

    def _probe_rows(self, suite: Suite) -> Iterator[dict[str, str]]:
        if suite.miners != "all":
            return
        names = [self.catalogue.qualify("loss", probe, HOME) for probe in suite.probes]
        probes = {name: self._compose(name) for name in names}
        if not probes or any(loss and not loss.losses_with_miner for loss in probes.values()):
            raise ConfigError(
                f"miners = 'all' needs probes: losses that take a miner, not {suite.probes}. "
                f"There are: {', '.join(self._losses_with_miner())}."
            )
        for miner in self.catalogue.references("miner"):
            component = self._try("miner", miner)
            for reference, loss in probes.items():
                if (
                    loss is None
                    or component is None
                    or loss.losses_with_miner[0].component.takes != component.makes
                ):
                    continue
                if self._default_miner(loss) != miner:
                    yield {"loss": reference, "miner": miner}
                break
            else:
                yield {"loss": names[0], "miner": miner}

    def _default_miner(self, composition: Composition) -> str:
        """Return the miner that each term names, one if all name the same."""
        miners = [
            self.catalogue.qualify("miner", term.component.default_miner, term.entry.distribution)
            for term in composition.losses_with_miner
        ]
        return "+".join(miners if len(set(miners)) > 1 else miners[:1])

    def _losses_with_miner(self) -> list[str]:
        losses = {name: self._try("loss", name) for name in self.catalogue.references("loss")}
        return [name for name, loss in losses.items() if loss and loss.takes != "labels"]

    def _compose(self, loss: str) -> Composition | None:
        """Return a loss with all its components, or None if one can't be imported."""
        try:
            return compose(self.catalogue, "loss", loss)
        except PluginError:
            return None

    def _try(self, kind: str, reference: str) -> Any:
        """Return the component, or None if it is installed but can't be imported."""
        try:
            return self.catalogue.load(kind, reference)[1]
        except PluginError:
            return None


def _check_miners(loss: str, mined: int, miner: str) -> None:
    """Check that a sum gets one miner for all of its terms that take one, or one for each.

    Raises:
        ConfigError: it gets another number of them.
    """
    named = len(terms("miner", miner))
    if named not in (1, mined):
        raise ConfigError(
            f"{miner} names {named} miners, and {mined} terms of {loss} take one. Name one for "
            "all, or one for each."
        )
