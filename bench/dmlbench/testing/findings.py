"""What a check says: that all is well, or in words what is wrong and how to mend it.

A check that fails raises a `PluginError` whose text says what was seen, what must hold, and what to
do about it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from dmlbench.errors import DmlbenchError


class ShortcomingError(DmlbenchError):
    """A component keeps its contract, but could be better. The text says how."""


class NotApplicableError(DmlbenchError):
    """A check does not concern this component. The text says why."""


class ConformanceWarning(UserWarning):
    """A `ShortcomingError`, as pytest's users see it."""


@dataclass(frozen=True)
class Finding:
    """What one check found out about a component."""

    check: str
    """Name of the check: a claim."""
    outcome: Literal["passed", "failed", "warned", "skipped"]
    text: str = ""
    """Advice if it failed or warned, the reason if it was skipped."""
    cause: str = ""
    """What the component raised and where, if it did: the same may stop several checks."""

    @property
    def claim(self) -> str:
        """Return the check's name as a sentence."""
        return self.check.replace("_", " ")


@contextmanager
def case(what: str) -> Iterator[None]:
    """Say of anything raised inside that it was seen with `what`."""
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        raise


def with_cases(error: BaseException, text: str) -> str:
    """Return `text` after the cases that `error` was seen in, the outermost first."""
    notes = getattr(error, "__notes__", ())
    return f"With {', '.join(reversed(notes))}: {text}" if notes else text
