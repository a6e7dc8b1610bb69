"""The errors a user meets. The command line prints them as one paragraph, without a traceback."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches

_TEXT_SECONDS = 1.0
"""How long an exception may take to say its text."""
_LONGEST_TEXT = 800
"""Characters of it that are shown."""
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

    A plugin's exception can have a text of any length, with characters that no terminal or JSON
    takes, or one whose ``__str__`` raises, returns no text or never ends.

    Example:
        >>> describe_exception(ValueError("no items"))
        'ValueError: no items'
    """
    from threading import Thread

    name, said = type(error).__name__, ["(its text could not be had in time)"]

    def read() -> None:
        try:
            said.append(str.__str__(str(error)))  # a subclass of str may redefine what follows
        except BaseException as other:
            said.append(f"(its text can't be had: {type(other).__name__})")

    with suppress(RuntimeError):  # the process may start no more threads
        reader = Thread(target=read, daemon=True)
        reader.start()
        reader.join(_TEXT_SECONDS)
    text = said[-1]
    if len(text) > _LONGEST_TEXT:
        text = f"{text[:_LONGEST_TEXT]}… ({len(text):,} characters)"
    text = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return f"{name}{': ' if text else ''}{text}{_place(error)}"


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
