"""What all schemas share: strict fields, an identity, and reading TOML."""

import json
from collections.abc import Iterator
from functools import cache, reduce
from inspect import isclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from dmlbench.errors import ConfigError, nearest
from dmlbench.reading import parse_toml, read_text
from dmlbench.schemas.added import Added, added

_MOST_FAULTS = 20


class Schema(BaseModel):
    """An immutable, validated model of a file or of a table in it; unknown keys are errors.

    Mark a field that is added after records were made: ``Annotated[int, Added(before=1)]``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    decides_nothing: ClassVar[frozenset[str]] = frozenset()
    """Fields that cannot change a figure, such as names and descriptions."""

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the figures, as plain JSON values.

        A field marked `Added` is left out while it has the value of older trials.
        """
        marks = _marks(type(self))
        values = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in self.decides_nothing
        }
        return {
            name: _identity(value)
            for name, value in values.items()
            if name not in marks or not marks[name].is_before(value)
        }

    @classmethod
    def fields(cls) -> list[str]:
        """Return the dotted names of the fields that `change` can set: no lists, no tables."""
        names = []
        for name, field in cls.model_fields.items():
            kind = field.annotation
            if isclass(kind) and issubclass(kind, Schema):
                names += [f"{name}.{inner}" for inner in kind.fields()]
            elif get_origin(kind) not in (list, tuple, dict) and name not in cls.decides_nothing:
                names.append(name)
        return names

    @classmethod
    def fields_and_sections(cls) -> list[str]:
        """Return the dotted names of all fields, lists and tables too, and of the sections."""
        names = []
        for name, field in cls.model_fields.items():
            if name in cls.decides_nothing:
                continue
            names.append(name)
            kind = field.annotation
            if isclass(kind) and issubclass(kind, Schema):
                names += [f"{name}.{inner}" for inner in kind.fields_and_sections()]
        return names


Model = TypeVar("Model", bound=Schema)


def read_toml(model: type[Model], path: Any, **extra: Any) -> Model:
    """Return the TOML file at `path` as a checked `model`.

    Raises:
        ConfigError: the file can't be read, is not TOML, or does not fit the model.
    """
    return validate(model, extra | toml_values(path), str(path))


def toml_values(path: Any) -> dict[str, Any]:
    """Return what the TOML file at `path` holds, unchecked.

    Raises:
        ConfigError: the file can't be read or is not TOML.
    """
    if isinstance(path, Path):
        return parse_toml(read_text(path, error=ConfigError), path)
    return parse_toml(path.read_text(encoding="utf-8"), path)  # ours, in a zip archive


def dotted(table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables under dotted keys; an empty table yields nothing.

    Example:
        >>> dict(dotted({"loss": {"margin": 0.3}, "seed": 1}))
        {'loss.margin': 0.3, 'seed': 1}
    """
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", one) for inner, one in dotted(value))
        else:
            yield key, value


def validate(
    model: type[Model], values: dict[str, Any], where: str, called: str | None = None
) -> Model:
    """Return `values` as a checked `model`.

    Raises:
        ConfigError: naming `where`, what it is not (`called`, else the model's name) and each key
            that does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = []
        found = error.errors()
        for item in found[:_MOST_FAULTS]:
            place = [str(name) for name in item["loc"]]
            hint = ""
            if item["type"] == "extra_forbidden":
                table = reduce(_table, place[:-1], model)
                hint = nearest(place[-1], table.model_fields)
            lines.append(": ".join(filter(None, (".".join(place), f"{item['msg']}.{hint}"))))
        if len(found) > _MOST_FAULTS:
            lines.append(f"{len(found) - _MOST_FAULTS:,} more.")
        raise ConfigError(
            f"{where} is not a valid {called or model.__name__.lower()}: " + " ".join(lines)
        ) from None


def _table(model: Any, name: str) -> Any:
    return model.model_fields[name].annotation


@cache
def _marks(model: type[Schema]) -> dict[str, Added]:
    """Return the marks of the fields that were added later."""
    marks = {name: added(field.metadata) for name, field in model.model_fields.items()}
    return {name: mark for name, mark in marks.items() if mark is not None}


def _identity(value: Any) -> Any:
    if isinstance(value, Schema):
        return value.identity()
    if isinstance(value, dict):
        return {key: _identity(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_identity(one) for one in value]
    return value


def as_recorded(model: Model) -> Model:
    """Return `model`, read from a record, as its trial was.

    A field that was added later, and so is missing in the record, gets the value of older trials,
    which need not be today's default.
    """
    marks = _marks(type(model))
    values = {name: marks[name].before for name in marks.keys() - model.model_fields_set}
    for name in type(model).model_fields.keys() - values.keys():
        value = getattr(model, name)
        if (read := _recorded(value)) is not value:
            values[name] = read
    return model.model_copy(update=values) if values else model


def _recorded(value: Any) -> Any:
    if isinstance(value, Schema):
        return as_recorded(value)
    if isinstance(value, dict):
        read = {key: _recorded(one) for key, one in value.items()}
        return read if any(read[key] is not one for key, one in value.items()) else value
    return value


def is_plain(value: Any) -> bool:
    """Return whether `value` is the same after a journey through JSON, tuples being lists."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
