"""Where the values of a protocol come from: from the paper, from its code, or from us."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from dmlbench.errors import ConfigError
from dmlbench.schemas.base import dotted
from dmlbench.schemas.protocol import Protocol, no_such_field

OURS = "ours"
"""The origin of a value that the file names none for."""


def _check_origin(text: str) -> str:
    word, _, rest = text.partition(":")
    first = word.split()[:1]
    if first == ["code"] and rest.strip():
        return text
    if first and first[0].rstrip(",;") in ("paper", OURS):
        return text
    raise ValueError(
        f"{text!r} is no origin; it begins with 'paper', with 'code: ' and the file, or with 'ours'"
    )


def _dotted(value: Any) -> Any:
    return dict(dotted(value)) if isinstance(value, dict) else value


Origins = Annotated[
    dict[str, Annotated[str, AfterValidator(_check_origin)]], BeforeValidator(_dotted)
]
"""Where values come from, by field or by section; ``optimiser.lr`` may be a table in a table."""


def covering(key: str, origins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the entries about a field: its own, and those of the sections around it."""
    return ((name, text) for name, text in origins.items() if f"{key}.".startswith(f"{name}."))


def check_origins(origins: Iterable[str], protocols: Iterable[Protocol], where: str) -> None:
    """Check that each names a field, a section, or a component's setting that the file states.

    Raises:
        ConfigError: one does not.
    """
    names = set(Protocol.fields_and_sections())
    for protocol in protocols:
        names |= dict(dotted(protocol.model_dump())).keys()
    for key in origins:
        if key not in names:
            raise ConfigError(f"{where}: origins.{key}: {no_such_field(key, names)}")
