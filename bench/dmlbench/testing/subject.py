"""The component under test, made as the harness makes it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from dmlbench.components.hyperparameters import (
    Hyperparameter,
    family_argument,
    hyperparameters,
    resolve,
)
from dmlbench.compute.process_state import SEED
from dmlbench.contracts.search_space import Choice
from dmlbench.errors import ConfigError
from dmlbench.testing.findings import NotApplicableError, case
from dmlbench.testing.stand_ins import PairLoss

NUM_CLASSES, EMBEDDING_DIM = 6, 4

AVAILABLE: Mapping[str, Mapping[str, Any]] = {
    "loss": {"num_classes": NUM_CLASSES, "embedding_dim": EMBEDDING_DIM},
    "baseline": {"random_state": 0},
}
"""What the harness passes by name to a component that asks for it, by kind."""


@dataclass(frozen=True)
class Subject:
    """A class to check, with the settings to check it with.

    Attributes:
        kind: of component.
        component: its class; of hooks the module or object.
        settings: hyper-parameters that differ from the defaults.
        argument: the first argument of a family. A loss that wraps another one always gets a small
            loss of the kit's own.
        home: the distribution that it comes from; "" if none.
        data_dir: the user's data folder, for datasets.
    """

    kind: str
    component: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    argument: str | None = None
    home: str = ""
    data_dir: Path | None = None

    @property
    def name(self) -> str:
        """Return the name of the class, or of the module or object that hears hooks."""
        return str(getattr(self.component, "__name__", type(self.component).__name__))

    @property
    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """Return the hyper-parameters, read from the signature."""
        return hyperparameters(self.component)

    def make(self, seed: int = SEED, **available: Any) -> Any:
        """Return a new instance.

        Args:
            seed: of torch's generator, from which it may draw initial weights.
            available: overrides what is passed by name, such as `num_classes`.

        Raises:
            NotApplicableError: it is a family, and no argument was given.
        """
        values = resolve(self.component, self.kind, self.settings)
        values |= {name: {**AVAILABLE.get(self.kind, {}), **available}[name] for name in self.asks}
        arguments: list[Any] = []
        wanted = family_argument(self.component)
        if self.kind == "loss" and wanted == "loss":
            arguments = [PairLoss()]
        elif wanted and self.argument is None:
            raise NotApplicableError(
                f"{self.name} is a family: check one of its members, by giving {wanted!r}."
            )
        elif wanted:
            arguments = [self.argument]
        torch.manual_seed(seed)
        return self.component(*arguments, **values)

    @property
    def asks(self) -> list[str]:
        """Return those arguments it asks for that the harness passes by name."""
        parameters = signature(self.component).parameters
        return [name for name in AVAILABLE.get(self.kind, {}) if name in parameters]

    def at_the_ends(self) -> Iterator[tuple[str, "Subject"]]:
        """Yield the subject with each hyper-parameter in turn at each end of its search space.

        Skips settings that the component refuses with a ConfigError: it may know better.

        Yields:
            The setting in words, and the subject with it.
        """
        for name, parameter in self.hyperparameters.items():
            space = parameter.space
            if space is None:
                continue
            ends = space.options if isinstance(space, Choice) else (space.low, space.high)
            for value in ends:
                variant = replace(self, settings={**self.settings, name: value})
                with suppress(ConfigError), case(words := f"{name} = {value!r}"):
                    variant.make()
                    yield words, variant
