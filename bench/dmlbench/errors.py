"""The errors a user meets. The command line prints them as one paragraph, without a traceback."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from threading import Thread

_TEXT_SECONDS = 2.0
"""How long an error may take to say what it is: its class may come from a plugin."""
_MOST_TEXT = 2_000
"""Characters of a reason that are kept."""

_COMPONENTS = os.path.join(os.path.dirname(__file__), "components", "")
_IMPORTING = (
    "<frozen ",
    os.path.join(os.path.dirname(os.__file__), "importlib", ""),
    *(f"{_COMPONENTS}{name}.py" for name in ("importing", "file_import")),
)
"""Files whose lines say nothing about what failed to import."""


class DmlbenchError(Exception):
    """Base of every error raised on purpose. Its text says what, where and how to mend."""


class ConfigError(DmlbenchError):
    """The request is wrong: an unknown name, an impossible combination, a value out of range."""


class PluginError(DmlbenchError):
    """A plugin can't be imported or breaks its contract."""


class DataError(DmlbenchError):
    """Data is missing, damaged or not what the dataset promises."""

    @classmethod
    def raise_all(cls, errors: Sequence["DataError"]) -> None:
        """Raise one error that lists all of `errors`, a line each; none of them raises nothing.

        >>> DataError.raise_all([DataError("a.png is empty."), DataError("b.png is empty.")])
        Traceback (most recent call last):
        dmlbench.errors.DataError: 2 problems:
          a.png is empty.
          b.png is empty.
        """
        if len(errors) == 1:
            raise errors[0]
        if errors:
            lines = "".join(f"\n  {error}" for error in errors)
            raise cls(f"{len(errors):,} problems:{lines}") from errors[0]


class TrialError(DmlbenchError):
    """A trial went wrong while it ran: a NaN loss, an exception in a plugin, a full disk."""


class UnusableCheckpointError(DmlbenchError):
    """A checkpoint was read, but what it holds does not fit the trial."""


class TrialEnded(BaseException):
    """Ends the trial under way from outside, by way of ``report``: the trial leaves no record.

    A trial survives everything else that is raised in it, and its record says what that was.
    """


class TrialStoppedError(TrialEnded):
    """Ends a trial that was asked to stop, and goes on when it is run again."""


class RankLostError(TrialEnded):
    """Ends a trial of several processes of which another one ended, or does not answer."""


class HelpedError(TrialEnded):
    """Ends the trial in a process that did its share of it: the first one makes the record."""


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn anything that a plugin raises inside into a `PluginError` that says `what` failed.

    Errors raised on purpose pass as they are.
    """
    try:
        yield
    except DmlbenchError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{what} failed: {describe_exception(error)}") from error


def describe_exception(error: BaseException) -> str:
    """Return type, text and place of any exception, as one short text that is safe to show.

    Example:
        >>> describe_exception(ValueError("no items"))
        'ValueError: no items'
    """
    name, text = _name_of(error), text_of(error)
    return f"{name}{': ' if text else ''}{text}{_place(error)}"


def text_of(error: BaseException) -> str:
    """Return what any exception says, cut to a readable length.

    A plugin's exception can have a text of any length, with characters that no terminal or JSON
    takes, or one whose ``__str__`` raises, returns no text or never ends.
    """
    said = ["(its text could not be had in time)"]

    def ask() -> None:
        try:
            said.append(str.__str__(str(error)))  # a subclass of str may redefine what follows
        except BaseException as another:
            said.append(f"(its text can't be had: {_name_of(another)})")

    with suppress(RuntimeError):  # the process may start no more threads
        asking = Thread(target=ask, daemon=True)
        asking.start()
        asking.join(_TEXT_SECONDS)
    return printable(shortened(said[-1]))


def shortened(text: str, most: int = _MOST_TEXT) -> str:
    """Return `text`, or if it has more than `most` characters, its beginning and its end.

    Example:
        >>> shortened("0123456789" * 10, 40)
        '0123456789012345 … (79 left out) … 56789'
    """
    if len(text) <= most:
        return text
    note = f" … ({len(text) - most:,} left out) … "
    kept = max(most - len(note), 0)
    head = -(-kept * 3 // 4)
    note = f" … ({len(text) - kept:,} left out) … "
    return text[:head] + note + text[len(text) - (kept - head) :]


def _name_of(error: BaseException) -> str:
    name = type.__dict__["__name__"].__get__(type(error))  # its metaclass may be anybody's
    return printable(shortened(name, 200))


def printable(text: str) -> str:
    """Return `text` without what colours or clears a terminal, or is no text for JSON readers."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _place(error: BaseException) -> str:
    """Return `` (loss.py:12, in forward)`` for the line that raised `error`."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_IMPORTING):
            file = os.path.basename(code.co_filename)
            place = f" ({file}:{trace.tb_lineno}, in {code.co_name})"
        trace = trace.tb_next
    return place


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known name nearest to `name`, else the known names."""
    known = sorted(known)
    close = ending_in(name, known) or get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(known)}." if known else ""


def ending_in(name: str, known: Iterable[str]) -> list[str]:
    """Return the known dotted name whose last part is that of `name`, if there is just one.

    Example:
        >>> ending_in("lr", ["optimiser.lr", "length.epochs"])
        ['optimiser.lr']
    """
    last = name.rpartition(".")[2]
    found = [one for one in known if one.rpartition(".")[2] == last and one != name]
    return found if len(found) == 1 else []
