"""What a check reports: that all is well, or what is wrong and how to mend it.

A check that fails raises a `PluginError` whose text says what it saw, what must hold, and what to
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
    """A check does not apply to this component. The text says why."""


class ConformanceWarning(UserWarning):
    """A `ShortcomingError`, as users of pytest see it."""


@dataclass(frozen=True)
class Finding:
    """The result of one check of a component."""

    check: str
    """Name of the check, which is a claim."""
    outcome: Literal["passed", "failed", "warned", "skipped"]
    text: str = ""
    """Advice if it failed or warned, the reason if it was skipped."""
    cause: str = ""
    """What the component raised and where, if it did: one error may stop several checks."""

    @property
    def claim(self) -> str:
        """Return the check's name as a sentence."""
        return self.check.replace("_", " ")


@contextmanager
def case(what: str) -> Iterator[None]:
    """Note on anything raised inside that it happened with `what`."""
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        raise


def with_cases(error: BaseException, text: str) -> str:
    """Return `text`, preceded by the cases in which `error` was raised, outermost first."""
    notes = getattr(error, "__notes__", ())
    return f"With {', '.join(reversed(notes))}: {text}" if notes else text
