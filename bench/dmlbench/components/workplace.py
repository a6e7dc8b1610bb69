"""From a part of a trial to an instance, on the machine that the trial runs on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose
from dmlbench.components.source_hash import file_hashes
from dmlbench.errors import TrialError
from dmlbench.schemas.trial import Part


@dataclass(frozen=True)
class Workplace:
    """What a trial needs of the machine it runs on."""

    catalogue: Catalogue
    data_dir: Path | None
    device: torch.device
    cache_dir: Path | None = None

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
            raise TrialError(f"The source of the {kind} {part} changed after the run was planned.")
        weights = [ingredient.weight for ingredient in composition.ingredients]
        components = composition.make(kind, part.settings, **available)
        if part.files and part.files != file_hashes(components[0].files()):
            raise TrialError(f"A file of the {kind} {part} changed after the run was planned.")
        return components, weights
