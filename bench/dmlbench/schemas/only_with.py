"""The mark of fields and hyper-parameters that are read only beside certain values of another."""

from collections.abc import Iterable, Mapping
from typing import Any


class OnlyWith:
    """Marks a field of a schema, or a hyper-parameter, that is read only if another has some value.

    ``momentum: Annotated[float, OnlyWith("name", "sgd", "rmsprop")] = 0.9`` says that only these
    optimisers have a momentum. To set it beside another is refused: it would change no figure, and
    yet make another row or table.

    Args:
        name: of the other field or hyper-parameter.
        values: those beside which this one is read.

    Example:
        >>> mark = OnlyWith("name", "sgd", "rmsprop")
        >>> mark.unmet({"name": "sgd"})
        ''
        >>> mark.unmet({"name": "adamw"})
        'it is read only with name=sgd or name=rmsprop, not name=adamw'
    """

    def __init__(self, name: str, *values: Any) -> None:
        self.name = name
        self.values = values

    def unmet(self, settings: Mapping[str, Any]) -> str:
        """Return why what is marked is not read beside `settings`, or "" if it is."""
        value = settings[self.name]
        if value in self.values:
            return ""
        wanted = " or ".join(f"{self.name}={each}" for each in self.values)
        return f"it is read only with {wanted}, not {self.name}={value}"


def only_with(metadata: Iterable[Any]) -> OnlyWith | None:
    """Return the mark among the extras of an annotation, if there is one."""
    return next((extra for extra in metadata if isinstance(extra, OnlyWith)), None)
