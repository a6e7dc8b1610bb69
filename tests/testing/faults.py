"""How a planted fault says which check is to find it."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """A component with one fault."""

    kind: str
    component: Any
    found_by: str
    also: frozenset[str]
    """Checks that may trip over the same fault."""


class Faults(list[Fault]):
    """The faults of one kind of component."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def found_by(self, check: str, *also: str) -> Callable[[Any], Any]:
        """Return a decorator for a faulty class."""

        def remember(component: Any) -> Any:
            self.append(Fault(self.kind, component, check, frozenset(also)))
            return component

        return remember
