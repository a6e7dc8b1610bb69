"""Hyper-parameters, read from a component's signature, the only place that defines them."""

import inspect
import json
import types
import typing
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dmlbench.components.entry_points import FAMILY_MARKS
from dmlbench.contracts.search_space import SearchSpace
from dmlbench.errors import ConfigError, PluginError, nearest
from dmlbench.reading import parse_json
from dmlbench.schemas.added import Added, added
from dmlbench.schemas.base import is_plain
from dmlbench.schemas.only_with import OnlyWith, only_with

INJECTED = frozenset({"num_classes", "embedding_dim", "random_state"})
"""Arguments that the harness passes by name to a component that asks for them."""

_MOST_BITS = 64


@dataclass(frozen=True)
class Hyperparameter:
    """An argument with a default, with its type and search space if the signature states them."""

    name: str
    default: Any
    type: Any = None
    space: SearchSpace | None = None
    added: Added | None = None
    """The behaviour of older trials, if the argument was added after them."""
    only_with: OnlyWith | None = None
    """Beside which values of another argument it is read, if not beside all."""

    def is_before(self, value: Any) -> bool:
        """Return whether `value` is what trials did before the argument existed."""
        return self.added is not None and self.added.is_before(value)

    def parse(self, text: str) -> Any:
        """Parse `text` and return the checked value.

        Raises:
            ConfigError: of another type, or outside the search space.
        """
        return self.check(_convert(text, self.type, self.default))

    def check(self, value: Any) -> Any:
        """Return the checked `value`, converting int to float and list to tuple where expected.

        Raises:
            ConfigError: of another type, outside the search space, or not a finite number.
        """
        if type(value) is int and value.bit_length() > _MOST_BITS:
            raise ConfigError(f"{self.name} is an integer of more than {_MOST_BITS} bits.")
        options = _options(self.type, self.default)
        if type(value) is int and float in options and int not in options:
            value = float(value)
        if self.type is not None:
            try:
                value = _as_a(self.type, value)
            except ValueError:
                kind = _type_name(self.type)
                raise ConfigError(f"{self.name}={value!r} is not of type {kind}.") from None
        if self.space is not None and value is not None and value not in self.space:
            raise ConfigError(f"{self.name}={value!r} is outside {self.space!r}.")
        if not is_plain(value):
            raise ConfigError(f"{self.name}={value!r} can't be kept in a record.")
        return value


def hyperparameters(component: type) -> dict[str, Hyperparameter]:
    """Return the hyper-parameters of a component class by name.

    Raises:
        PluginError: the signature or one of its annotations can't be read, a default can't be kept
            in a record, or an argument has no default.
    """
    where = f"{component.__module__}:{component.__qualname__}"
    try:
        signature = inspect.signature(component)
        hints = typing.get_type_hints(component.__init__, include_extras=True)  # type: ignore[misc]
    except (NameError, TypeError, ValueError, AttributeError, SyntaxError) as error:
        raise PluginError(
            f"The signature of {where} can't be read: {error}. Every annotation must name "
            "something that its module knows."
        ) from error
    found = {}
    for parameter in signature.parameters.values():
        name, default = parameter.name, parameter.default
        if name in INJECTED:
            continue
        if default is not parameter.empty:
            if not is_plain(default):
                raise PluginError(
                    f"The default {name}={default!r} of {where} can't be kept in a record: a "
                    "hyper-parameter is a finite number, a text, true, false, None, or a list."
                )
            hint, extras = _split(hints.get(name))
            space = next((one for one in extras if isinstance(one, SearchSpace)), None)
            found[name] = Hyperparameter(
                name, default, hint, space, added(extras), only_with(extras)
            )
            _check_before(found[name], where)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            raise PluginError(
                f"The argument {name!r} of {where} has no default. Passed by name are only "
                f"{', '.join(sorted(INJECTED))}."
            )
    for found_one in found.values():
        mark = found_one.only_with
        if mark and mark.name not in found:
            raise PluginError(
                f"OnlyWith of {found_one.name!r} of {where} names {mark.name!r}, which is no "
                "hyper-parameter of it."
            )
    return found


def resolve(
    component: type, kind: str, settings: Mapping[str, Any], *, recorded: bool = False
) -> dict[str, Any]:
    """Return all hyper-parameters of `component`: its defaults, overridden by `settings`.

    Values that are strings are read as the command line spells them.

    Args:
        component: a class.
        kind: its kind, for error texts.
        settings: values by name.
        recorded: `settings` come from a trial, which omits hyper-parameters at their value of
            before; see `Added`.

    Raises:
        ConfigError: an unknown name, a value of a wrong type or outside its search space, or one
            that would not be read, see `OnlyWith`.
    """
    known = hyperparameters(component)
    values = {
        name: parameter.added.before if recorded and parameter.added else parameter.default
        for name, parameter in known.items()
    }
    for name, value in settings.items():
        if name not in known:
            raise ConfigError(
                f"{kind}.{name}: {component.__name__} has no hyper-parameter {name!r}."
                + (nearest(name, known) or " It has none at all.")
            )
        parameter = known[name]
        try:
            values[name] = (
                parameter.parse(value) if isinstance(value, str) else parameter.check(value)
            )
        except ConfigError as error:
            raise ConfigError(f"{kind}.{error}") from error
    for name in () if recorded else settings:
        mark = known[name].only_with
        reason = mark.unmet(values) if mark else ""
        if reason and values[name] != known[name].default:
            raise ConfigError(f"{kind}.{name} would change nothing: {reason}. Leave it out.")
    return values


def family_argument(component: type) -> str | None:
    """Return the name of the argument that makes a component a family, or None."""
    for parameter in inspect.signature(component).parameters.values():
        if (
            parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            and parameter.default is parameter.empty
            and parameter.name not in INJECTED
        ):
            return parameter.name
    return None


def check_argument(component: type, kind: str, reference: str, argument: str | None) -> None:
    """Check that a family has its argument, and that nothing else has one.

    Raises:
        ConfigError: it is the other way round.
    """
    wanted = family_argument(component)
    if wanted and not argument:
        mark = FAMILY_MARKS.get(kind, "/")
        example = f"{reference.rstrip(mark)}{mark}{wanted.upper()}"
        raise ConfigError(f"The {kind} {reference!r} is a family: say which, as {example}.")
    if argument is not None and not wanted:
        rest = reference[-len(argument) - 1 :]
        raise ConfigError(f"The {kind} {reference!r} is no family: leave out {rest!r}.")


def injections(component: type, available: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the `available` arguments that `component` asks for by name."""
    parameters = inspect.signature(component).parameters
    return {name: value for name, value in available.items() if name in parameters}


def _check_before(parameter: Hyperparameter, where: str) -> None:
    if parameter.added is None:
        return
    try:
        parameter.check(parameter.added.before)
    except ConfigError as error:
        raise PluginError(
            f"Added(before=...) of {where} is no value that the argument can have: {error}"
        ) from error


def _split(hint: Any) -> tuple[Any, list[Any]]:
    """Return the type in an annotation, and its extras, also of ``Annotated[…] | None``."""
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        return hint, extras
    if get_origin(hint) in (Union, types.UnionType):
        options = [_split(option) for option in get_args(hint)]
        return reduce(or_, [option for option, _ in options]), [
            extra for _, extras in options for extra in extras
        ]
    return hint, []


def _options(hint: Any, default: Any) -> list[Any]:
    """Return the types a value may have; without an annotation, the type of the default."""
    if hint is None:
        return [type(default)]
    if get_origin(hint) in (Union, types.UnionType):
        return list(get_args(hint))
    if get_origin(hint) is Literal:
        return [type(option) for option in get_args(hint)]
    return [hint]


def _convert(text: str, hint: Any, default: Any) -> Any:
    wanted = _options(hint, default)
    anything = hint is None  # scikit-learn's arguments often take several types
    if text.lower() == "none" and (anything or types.NoneType in wanted or default is None):
        return None
    if text.lower() in ("true", "false") and (anything or bool in wanted):
        return text.lower() == "true"
    for number in (int, float):
        if anything or number in wanted or (number is int and float in wanted):
            try:
                return number(text)
            except ValueError:
                continue
    if text[:1] in ("[", "{") and (anything or any(map(_has_elements, wanted))):
        with suppress(ValueError):
            return parse_json(text)
    return text


def _has_elements(hint: Any) -> bool:
    kind = get_origin(hint)
    return hint in (list, tuple, dict) or (isinstance(kind, type) and issubclass(kind, Iterable))


def _as_a(hint: Any, value: Any) -> Any:
    """Return `value` as type `hint`; a list, as JSON has it, becomes the tuple that is expected.

    Raises:
        ValueError: it is none.
        PluginError: there is no telling what a `hint` is.
    """
    if get_origin(hint) in (Union, types.UnionType):
        for option in get_args(hint):
            with suppress(ValueError):
                return _as_a(option, value)
    elif get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
    elif _has_elements(hint) and is_plain(value):
        from pydantic import PydanticUserError, TypeAdapter

        try:
            return TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
        except PydanticUserError as error:
            raise PluginError(f"The annotation {hint} can't be checked: {error}") from error
    elif (
        hint is Any
        or not isinstance(hint, type)
        or (isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool)))
    ):
        return value
    raise ValueError


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
