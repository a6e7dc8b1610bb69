"""From a part of a trial to an instance, on the machine that the trial runs on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose
from dmlbench.components.file_hashes import file_hashes
from dmlbench.compute.world import ALONE, World
from dmlbench.contracts.hub import hub_revision
from dmlbench.errors import TrialError
from dmlbench.schemas.trial import Part


@dataclass(frozen=True)
class Workplace:
    """What a trial needs of the machine it runs on."""

    catalogue: Catalogue
    data_dir: Path | None
    device: torch.device
    cache_dir: Path | None = None
    chunk: int | None = None
    """Most images that pass through a network at a time in training; None: a batch."""
    world: World = field(default=ALONE, compare=False)
    """The processes that train a network together; data and components are the same for all."""

    def make(self, kind: str, part: Part, **available: Any) -> Any:
        """Return the component that `part` describes, given what it asks for by name.

        Raises:
            ConfigError, PluginError: it can't be found, imported or made.
            TrialError: it is not what the trial's identity says.
        """
        (component,) = self.make_terms(kind, part, **available)[0]
        return component

    def make_terms(self, kind: str, part: Part, **available: Any) -> tuple[list[Any], list[float]]:
        """Return the components of a sum and their weights; one of weight 1 if it is none.

        Raises:
            ConfigError, PluginError, TrialError: see `make`.
        """
        part = part.located()
        composition = compose(self.catalogue, kind, part.reference)
        mismatch = composition.mismatch(part)  # a file that can't be read fails the trial
        if part.source and mismatch:
            what = "A library that" if mismatch == "libraries" else "The source of"
            uses = " imports" if mismatch == "libraries" else ""
            raise TrialError(f"{what} the {kind} {part}{uses} changed after the run was planned.")
        weights = [ingredient.weight for ingredient in composition.ingredients]
        components = composition.make(kind, part.settings, **available)
        if part.files and part.files != file_hashes(components[0].files()):
            raise TrialError(f"A file of the {kind} {part} changed after the run was planned.")
        _check_revisions(kind, part, components[0])
        return components, weights


def _check_revisions(kind: str, part: Part, component: Any) -> None:
    """Check that what a setting takes from the hub is what the trial was planned with.

    Raises:
        DataError: the hub is to be asked, and is out of reach.
        TrialError: it is another revision.
    """
    if not part.revisions:
        return  # they are not of the hub, or could not be told
    for setting, repository in component.repositories().items():
        here, there = f"{repository}@{hub_revision(repository)}", part.revisions.get(setting)
        if here != there:
            raise TrialError(
                f"The {setting} of the {kind} {part} are of another revision: {there} there, "
                f"{here} here."
            )
