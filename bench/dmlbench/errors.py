"""The errors a user meets. The command line prints them as one paragraph, without a traceback."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches


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


class TrialStoppedError(BaseException):
    """Ends a trial that was asked to stop. A trial survives every `Exception`, so it is none."""


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
        raise PluginError(f"{what} failed: {type(error).__name__}: {error}") from error


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
