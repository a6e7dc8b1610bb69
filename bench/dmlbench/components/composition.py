"""References to losses and miners that combine others.

- ``triplet+0.5*threshold-consistent-margin``: a weighted sum. ``loss.triplet.margin`` sets a
  hyper-parameter of one term.
- ``xbm/contrastive``: a loss around another one. ``loss.size`` sets one of its own,
  ``loss.contrastive.neg_margin`` one of the loss inside.
- ``semi-hard+all-pairs``: one miner for each term of a sum that takes one. A miner named twice has
  the same settings in both places.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import Entry
from dmlbench.components.hyperparameters import (
    Hyperparameter,
    check_argument,
    family_argument,
    hyperparameters,
    injections,
    resolve,
)
from dmlbench.components.source_aliases import Aliases, Origin, aliases_of, origin_of
from dmlbench.components.source_hash import Source, source_of
from dmlbench.errors import ConfigError, guarded, nearest
from dmlbench.schemas.trial import Part

_WEIGHTED = re.compile(r"([0-9.]+(?:e-?[0-9]+)?)\s*\*\s*(.+)", re.IGNORECASE)
_AROUND = "loss"
"""Name of the argument of a loss that takes another one."""


class Term(NamedTuple):
    """One summand."""

    weight: float
    reference: str


def parse(reference: str) -> tuple[Term, ...]:
    """Return the terms of a sum, one for a plain reference.

    Raises:
        ConfigError: a term is missing, or a weight is no number above 0.
    """
    found = []
    for text in map(str.strip, reference.split("+")):
        weighted = _WEIGHTED.fullmatch(text)
        try:
            weight = float(weighted[1]) if weighted else 1.0
        except ValueError:
            weight = 0.0
        if not text or not 0 < weight < float("inf"):
            raise ConfigError(
                f"{reference!r} is no sum: write it as triplet+0.5*center, weights above 0."
            )
        found.append(Term(weight, weighted[2] if weighted else text))
    return tuple(found)


def terms(kind: str, reference: str) -> tuple[Term, ...]:
    """Return the terms of a reference to a component of any kind; sums are of losses and miners.

    Raises:
        ConfigError: see `parse`.
    """
    return parse(reference) if kind in ("loss", "miner") else (Term(1.0, reference),)


def spell(summands: Iterable[Term]) -> str:
    """Return the reference that `parse` reads as `summands`."""
    return "+".join(
        reference if weight == 1 else f"{_written(weight)}*{reference}"
        for weight, reference in summands
    )


def _written(weight: float) -> str:
    """Return the shortest text that reads back as the same weight and contains no plus sign."""
    short = f"{weight:g}"
    return (short if float(short) == weight else repr(weight)).replace("e+", "e")


def qualify(catalogue: Catalogue, kind: str, reference: str, owner: str) -> str:
    """Return `reference` with each name qualified as the distribution `owner` means it."""
    found = []
    for weight, name in terms(kind, reference):
        outer, slash, inner = name.partition("/")
        full = catalogue.qualify(kind, outer, owner)
        found.append(
            Term(weight, full + slash + (catalogue.qualify(kind, inner, owner) if slash else ""))
        )
    return spell(found)


@dataclass(frozen=True)
class Ingredient:
    """One imported component of a reference, with the inner loss if it wraps one."""

    weight: float
    reference: str
    entry: Entry
    component: Any
    argument: str | None
    inside: "Ingredient | None"

    @property
    def key(self) -> str:
        """Return the prefix that addresses its hyper-parameters in a composition."""
        return (
            self.entry.name.rpartition(":")[2] if not self.entry.distribution else self.entry.name
        )

    @property
    def name(self) -> str:
        """Return what tables call it: the entry point's name with a family's argument."""
        if self.inside:
            return f"{self.entry.name}/{self.inside.name}"
        mark = "" if self.argument is None else self.reference[-len(self.argument) - 1 :]
        return self.entry.name + mark

    @property
    def innermost(self) -> "Ingredient":
        """Return the loss that the miner selects for: the innermost one, or itself."""
        return self.inside.innermost if self.inside else self

    def all(self) -> "list[Ingredient]":
        """Return itself and what is inside it."""
        return [self, *(self.inside.all() if self.inside else [])]

    def resolve(self, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyper-parameters, those of the loss inside as ``contrastive.pos_margin``.

        Raises:
            ConfigError: an unknown name, or a value of a wrong type or out of range.
        """
        if not self.inside:
            return resolve(self.component, kind, given)
        own, inner = _apart(given, [self.inside.key])
        values = resolve(self.component, kind, own)
        return values | _prefixed(
            self.inside.key, self.inside.resolve(f"{kind}.{self.inside.key}", inner)
        )

    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Return the hyper-parameters by the names that `resolve` gives them."""
        inner = _prefixed(self.inside.key, self.inside.hyperparameters()) if self.inside else {}
        return hyperparameters(self.component) | inner

    def make(self, kind: str, settings: Mapping[str, Any], **available: Any) -> Any:
        """Return the component with the settings of a trial, given what it asks for by name.

        Raises:
            ConfigError: a setting that it does not know.
            PluginError: its constructor failed.
        """
        own, inner = _apart(settings, [self.inside.key] if self.inside else [])
        argument = [] if self.argument is None else [self.argument]
        if self.inside:
            argument = [self.inside.make(kind, inner, **available)]
        values = resolve(self.component, kind, own, recorded=True)
        with guarded(f"Making the {kind} {self.reference!r}"):
            return self.component(*argument, **values, **injections(self.component, available))


@dataclass(frozen=True)
class Composition:
    """A reference with all its components imported; usually there is only one."""

    ingredients: tuple[Ingredient, ...]

    @property
    def is_sum(self) -> bool:
        """Return whether there are several terms, or one with a weight."""
        return len(self.ingredients) > 1 or self.ingredients[0].weight != 1

    @property
    def losses_with_miner(self) -> tuple[Ingredient, ...]:
        """Return the losses that take a miner's selection; for a wrapper, the inner one."""
        inner = [each.innermost for each in self.ingredients]
        return tuple(each for each in inner if each.component.takes != "labels")

    @property
    def name(self) -> str:
        """Return what tables call it."""
        return spell(Term(each.weight, each.name) for each in self.ingredients)

    @property
    def distribution(self) -> str:
        """Return the packages that offer it, each once."""
        return ", ".join(dict.fromkeys(e.entry.distribution for e in self._all()))

    @property
    def version(self) -> str:
        """Return the versions of these packages."""
        return ", ".join({e.entry.distribution: e.entry.version for e in self._all()}.values())

    def code(self) -> Source:
        """Return the source code of all components, and the libraries that they import.

        Code that an alias says is equal to older code has the hash of that.
        """
        return replace(self._code, hash=self.origin().source)

    def origin(self) -> Origin:
        """Return what its rows are kept under: an alias may say that it was called otherwise."""
        kind = self.ingredients[0].entry.kind
        return self._aliases.first(Origin(kind, self.distribution, self.name, self._code.hash))

    def source(self) -> str:
        """Return a hash of the source code of all components."""
        return self.code().hash

    @cached_property
    def _code(self) -> Source:
        found = [source_of(each.component) for each in self._all()]
        if len(found) == 1:
            return found[0]
        hashes = [self._aliases.first_source(one.hash) for one in found]
        libraries = {name: version for one in found for name, version in one.libraries.items()}
        hashed = sha256("\n".join(hashes).encode()).hexdigest()
        return Source(hashed, dict(sorted(libraries.items())))

    def resolve(self, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyper-parameters, in a sum as ``triplet.margin``.

        Raises:
            ConfigError: an unknown name, or a value of a wrong type or out of range.
        """
        if not self.is_sum:
            return self.ingredients[0].resolve(kind, given)
        unknown, of_term = self._by_term(given)
        if unknown:
            keys = [each.key for each in self.ingredients]
            wrong = next(iter(unknown))
            raise ConfigError(
                f"{kind}.{wrong}: in a sum, name the term: {kind}.{keys[0]}.NAME."
                + nearest(wrong.partition(".")[0], keys)
            )
        values: dict[str, Any] = {}
        for each in self.ingredients:
            found = each.resolve(f"{kind}.{each.key}", of_term[each.key])
            values |= _prefixed(each.key, found)
        return values

    def to_record(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyper-parameters, except those added later that are at their value of before.

        So a trial that does what an older one did is the same trial, with the same id.
        """
        known = self.ingredients[0].hyperparameters()
        if self.is_sum:
            known = {}
            for each in self.ingredients:
                known |= _prefixed(each.key, each.hyperparameters())
        return {name: value for name, value in values.items() if not known[name].is_before(value)}

    def make(self, kind: str, settings: Mapping[str, Any], **available: Any) -> list[Any]:
        """Return the component of each term with the settings of a trial, see `to_record`.

        Raises:
            ConfigError: a setting that it does not know.
            PluginError: a constructor failed.
        """
        if not self.is_sum:
            return [self.ingredients[0].make(kind, settings, **available)]
        _, of_term = self._by_term(settings)
        return [each.make(kind, of_term[each.key], **available) for each in self.ingredients]

    def mismatch(self, part: Part) -> Literal["", "package", "source", "libraries"]:
        """Return how this differs from the component `part` of a trial, or "" if it does not."""
        ours = self.origin()
        theirs = self._aliases.first(origin_of(ours.kind, part))
        if ours.distribution != theirs.distribution:
            return "package"
        if ours.source != theirs.source:
            return "source"
        return "" if self._code.libraries == part.libraries else "libraries"

    def _by_term(
        self, settings: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        rest, of_term = dict(settings), {}
        for key in dict.fromkeys(each.key for each in self.ingredients):
            rest, of_term[key] = _apart(rest, [key])
        return rest, of_term

    @cached_property
    def _aliases(self) -> Aliases:
        return aliases_of(each.component.__module__ for each in self._all())

    def _all(self) -> list[Ingredient]:
        return [one for each in self.ingredients for one in each.all()]


def compose(catalogue: Catalogue, kind: str, reference: str) -> Composition:
    """Import what `reference` names.

    Raises:
        ConfigError: an unknown name, a family without its argument, a loss named twice, or two
            miners whose settings could not be told apart.
        PluginError: a component can't be imported.
    """
    found = tuple(_ingredient(catalogue, kind, *term) for term in terms(kind, reference))
    keys = [each.key for each in found]
    mend = "give it one weight"
    if kind == "miner":  # one and the same may stand at several terms
        keys = list({each.entry: each.key for each in found}.values())
        mend = "they are two miners, whose settings could not be told apart"
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise ConfigError(f"{reference!r} names {twice[0]} twice; {mend}.")
    return Composition(found)


def make(
    catalogue: Catalogue, kind: str, reference: str, settings: Mapping[str, Any], **available: Any
) -> Any:
    """Return the single component that `reference` names, made with the settings of a trial.

    Args:
        catalogue: what is installed.
        kind: such as "loss".
        reference: see `Catalogue.find`.
        settings: see `Composition.to_record`.
        available: what it may ask for by name.

    Raises:
        ConfigError: nothing of that name, or a setting that it does not know.
        PluginError: it can't be imported, or its constructor failed.
    """
    (component,) = compose(catalogue, kind, reference).make(kind, settings, **available)
    return component


def _ingredient(catalogue: Catalogue, kind: str, weight: float, reference: str) -> Ingredient:
    found, component = catalogue.load(kind, reference)
    check_argument(component, kind, reference, found.argument)
    inside = None
    if kind == "loss" and family_argument(component) == _AROUND:
        assert found.argument is not None  # check_argument has seen to it
        inside = _ingredient(catalogue, kind, 1.0, found.argument)
    return Ingredient(weight, reference, found.entry, component, found.argument, inside)


def _apart(
    settings: Mapping[str, Any], keys: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split settings into those without a prefix from `keys` and those with one, now removed."""
    own, inner = {}, {}
    for name, value in settings.items():
        key = next((key for key in keys if name.startswith(f"{key}.")), None)
        if key is None:
            own[name] = value
        else:
            inner[name[len(key) + 1 :]] = value
    return own, inner


def _prefixed(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{key}.{name}": value for name, value in values.items()}
