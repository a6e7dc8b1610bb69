"""What a loss states about itself, which decides the miner and the optimiser it is trained with.

Every public function here is a check.
"""

from typing import Any

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose, qualify
from dmlbench.components.hyperparameters import family_argument, resolve
from dmlbench.contracts.components import Loss
from dmlbench.errors import ConfigError, PluginError
from dmlbench.testing.findings import NotApplicableError, ShortcomingError
from dmlbench.testing.subject import Subject


def stated_facts_are_of_the_right_type(subject: Subject) -> None:
    """Class attributes say how a loss is trained."""
    loss = subject.make()
    views, rate, decay = loss.views, loss.own_lr_multiple, loss.own_weight_decay
    demands = {
        "reducer": ("words, such as 'mean'", _is_text(loss.reducer)),
        "normalize": ("True or False", isinstance(loss.normalize, bool)),
        "starts_epochs": ("True or False", isinstance(loss.starts_epochs, bool)),
        "views": ("a whole number, at least 1", type(views) is int and views >= 1),
        "own_lr_multiple": ("a number above 0", _is_number(rate) and rate > 0),
        "own_weight_decay": ("a number, at least 0", _is_number(decay) and decay >= 0),
    }
    for name, (what, holds) in demands.items():
        if not holds:
            value = getattr(loss, name)
            raise PluginError(f"{subject.name} states {name} = {value!r}; it must be {what}.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def it_names_its_paper(subject: Subject) -> None:
    """Tables and pages show where a loss comes from."""
    if not _is_text(subject.component.paper):
        raise ShortcomingError(
            "It names no paper. If there is one, state it: paper = 'Authors. Title. Venue Year. "
            "arXiv id'."
        )


def its_default_miner_is_found(subject: Subject) -> None:
    """A loss that takes pairs or triplets names a miner that is installed."""
    name = subject.component.default_miner
    if name is None:
        raise NotApplicableError("It takes labels, and no miner.")
    _require_found(subject, "miner", name, "default_miner")


def its_paper_sampler_is_found(subject: Subject) -> None:
    """`--sampler paper` finds the sampler that a loss names, and the sampler its settings."""
    try:
        name, settings = subject.component.paper_sampler
        settings = dict(settings)
    except (TypeError, ValueError):
        raise PluginError(
            f"{subject.name} states paper_sampler = {subject.component.paper_sampler!r}; it must "
            "be a name and its settings, such as ('m-per-class', {'m': 2})."
        ) from None
    component = _require_found(subject, "sampler", name, "paper_sampler")
    try:
        resolve(component, "sampler", settings)
    except ConfigError as error:
        raise PluginError(f"Its paper_sampler can't be set up: {error}") from error


def _require_found(subject: Subject, kind: str, name: str, stated_as: str) -> Any:
    """Return the component called `name` by the distribution of `subject`."""
    catalogue = Catalogue.discover()
    try:
        return catalogue.load(kind, catalogue.qualify(kind, name, subject.home))[1]
    except ConfigError as error:
        raise PluginError(
            f"{subject.name} states {stated_as} = {name!r}, which is not installed. {error}"
        ) from error


def trained_as_names_losses_that_are_found(subject: Subject) -> None:
    """The sum that a regulariser is trained as can be composed from what is installed."""
    sum_of_losses = subject.component.trained_as
    if sum_of_losses is None:
        raise NotApplicableError("It is trained by itself.")
    catalogue = Catalogue.discover()
    try:
        compose(catalogue, "loss", qualify(catalogue, "loss", sum_of_losses, subject.home))
    except ConfigError as error:
        raise PluginError(
            f"{subject.name} states trained_as = {sum_of_losses!r}, which can't be composed: "
            f"{error}"
        ) from error


def it_announces_that_it_starts_epochs(subject: Subject) -> None:
    """`start_epoch` is called only for a loss that states `starts_epochs`."""
    if family_argument(subject.component) == "loss":
        raise NotApplicableError("It starts epochs if the loss that it wraps does.")
    overridden = subject.component.start_epoch is not Loss.start_epoch
    states = subject.make().starts_epochs
    if overridden != states:
        raise PluginError(
            f"{subject.name} {'has a' if overridden else 'has no'} method start_epoch but states "
            f"starts_epochs = {states}. State starts_epochs = True and "
            "define start_epoch(embeddings, labels), or do neither."
        )
