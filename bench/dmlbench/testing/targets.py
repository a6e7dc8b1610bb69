"""The target of ``dmlbench plugin check``: one component, or those of a file or a distribution.

Hook plugins count among them: modules or objects with functions that are marked with `hookimpl`.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import FAMILY_MARKS, KINDS, Entry, normalised
from dmlbench.components.first_import import why_refused
from dmlbench.components.hook_plugins import heard_hooks
from dmlbench.components.hyperparameters import check_argument, resolve
from dmlbench.components.importing import base_class, import_value, load_entry
from dmlbench.components.metrics import metric_reference
from dmlbench.errors import ConfigError, PluginError, describe_exception, nearest
from dmlbench.testing.findings import Finding
from dmlbench.testing.runner import examinations
from dmlbench.testing.subject import Subject


@dataclass(frozen=True)
class Candidate:
    """A component to check."""

    entry: Entry
    component: Any = None
    """Its class, or what hears hooks; None if it could not be loaded."""
    reason: str = ""
    """Why it could not be loaded."""
    argument: str | None = None
    """Which member of a family."""

    @property
    def label(self) -> str:
        """Return kind and name."""
        name = self.entry.name
        if self.argument is not None:
            name += f"{FAMILY_MARKS.get(self.entry.kind, '/')}{self.argument}"
        return f"{self.entry.kind} {name}"

    def resolve(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `settings`, given as on the command line, with parsed values; no defaults.

        Raises:
            ConfigError: an unknown name, a wrong value, or a family without its argument.
        """
        if self.component is None or not settings:
            return {}
        if self.entry.kind == "hooks":
            raise ConfigError(f"{self.label} has no hyper-parameters to set.")
        given = {key.removeprefix(f"{self.entry.kind}."): text for key, text in settings.items()}
        values = resolve(self.component, self.entry.kind, given)
        return {name: values[name] for name in given}

    def examine(self, settings: Mapping[str, Any], data_dir: Path | None) -> Iterator[Finding]:
        """Yield the result of each check."""
        if self.component is None:
            yield Finding("it_can_be_loaded", "failed", self.reason)
            return
        subject = Subject(
            kind=self.entry.kind,
            component=self.component,
            settings=settings,
            argument=self.argument,
            home=self.entry.distribution,
            data_dir=data_dir,
        )
        yield from examinations(subject)


def candidates(target: str, catalogue: Catalogue) -> list[Candidate]:
    """Return the components that `target` names.

    A target is, in this order: the name of an installed distribution, ``kind:name``, ``./file.py``
    for all its components, ``./file.py:Class`` or ``module:Class``.

    Raises:
        ConfigError: it names no component.
        PluginError: a file or module can't be imported.
    """
    distribution = normalised(target)
    of_it = [entry for entry in catalogue.entries if entry.distribution == distribution]
    if of_it:
        return [_candidate(entry) for entry in of_it]
    kind, colon, reference = target.partition(":")
    kinds = {**{plural: kind for kind, plural in KINDS.items()}, "hook": "hooks"}
    kind = kinds.get(kind, kind)
    if colon and kind in (*KINDS, "hooks"):
        reference = metric_reference(reference) if kind == "metric" else reference
        found = catalogue.find(kind, reference)
        candidate = _candidate(found.entry, found.argument)
        if candidate.component is not None and found.argument is not None:
            check_argument(candidate.component, kind, reference, found.argument)
        return [candidate]
    if colon or target.endswith(".py"):
        return _imported(target)
    distributions = {entry.distribution for entry in catalogue.entries}
    raise ConfigError(
        f"{target!r} is not an installed distribution with components for dmlbench."
        + nearest(target, distributions)
        + " Name a component as in loss:triplet, module:Class or ./file.py:Class."
    )


def _candidate(entry: Entry, argument: str | None = None) -> Candidate:
    try:
        return Candidate(entry, load_entry(entry), argument=argument)
    except PluginError as error:
        return Candidate(entry, reason=str(error), argument=argument)


def _imported(target: str) -> list[Candidate]:
    """Return the class that an import reference names, or all components of a file."""
    # What a loss needs, such as torch, is loaded before the time of the import counts.
    if reason := why_refused(Entry("loss", target, "", "", target)):
        raise PluginError(f"{target} can't be loaded: {reason}.")
    try:
        found = import_value(Entry("hooks", target, "", "", target))
    except PluginError as error:
        cause = error.__cause__
        told = describe_exception(cause) if cause else str(error)
        raise PluginError(f"{target} can't be loaded: {told}") from cause
    classes = [found] if inspect.isclass(found) else _components_in(found)
    kinds = {each: _kind_of(each) for each in classes}
    named = [(kind, each.__name__, each) for each, kind in kinds.items() if kind]
    named += [("hooks", name, each) for name, each in _hook_plugins_in(target, found)]
    if not named or None in kinds.values():
        raise ConfigError(
            f"{target} is no component: derive it from dmlbench's Loss, Miner, Sampler, Backbone, "
            "Dataset, Metric or Executor, or give it scikit-learn's fit and transform. A hook "
            "plugin is a module or an object with functions that are marked with @hookimpl."
        )
    return [Candidate(Entry(kind, name, "", "", target), each) for kind, name, each in named]


def _hook_plugins_in(target: str, found: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and the object of what hears hooks: `found`, and what a module holds."""
    if inspect.isclass(found):
        return
    if heard_hooks(found):
        yield Path(target.rpartition(":")[2]).stem, found
    if inspect.ismodule(found):
        for name, value in vars(found).items():
            if type(value).__module__ == found.__name__ and heard_hooks(value):
                yield name, value


def _components_in(found: Any) -> list[type]:
    """Return the components that a module defines; no other object defines any."""
    own = [
        value
        for value in (vars(found).values() if inspect.ismodule(found) else ())
        if inspect.isclass(value) and value.__module__ == found.__name__
    ]
    return [each for each in own if _kind_of(each) and not inspect.isabstract(each)]


def _kind_of(component: type) -> str | None:
    """Return the kind of a class by its base class, or that of anything with fit and transform."""
    for kind in KINDS:
        if kind != "baseline" and issubclass(component, base_class(kind)):
            return kind
    return "baseline" if hasattr(component, "fit") and hasattr(component, "transform") else None
