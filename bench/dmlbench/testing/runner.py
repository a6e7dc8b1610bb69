"""Run checks, whatever a component does in them."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from inspect import cleandoc, getsourcefile, isfunction
from pathlib import Path
from textwrap import shorten
from typing import Any

from dmlbench.compute.process_state import as_in_a_trial
from dmlbench.errors import PluginError
from dmlbench.testing.findings import Finding, NotApplicableError, ShortcomingError, with_cases
from dmlbench.testing.subject import Subject

Check = Callable[[Subject], None]

_MODULES = {
    "loss": ("foundations", "signature", "loss_facts", "loss", "loss_state"),
    "miner": ("foundations", "signature", "miner"),
    "sampler": ("foundations", "signature", "sampler"),
    "backbone": ("foundations", "signature", "backbone"),
    "dataset": ("foundations", "signature", "dataset"),
    "baseline": ("foundations", "signature", "baseline"),
    "metric": ("foundations", "signature", "metric"),
    "executor": ("foundations", "signature", "executor"),
    "hooks": ("hook_foundations", "hooks"),
}
"""The modules of each kind's checks. Unless those of the first hold, the others are not run."""


def checks(kind: str) -> tuple[Check, ...]:
    """Return the checks for a kind of component, in the order in which they run."""
    return tuple(check for name in _MODULES[kind] for check in _checks_in(name))


def _checks_in(name: str) -> tuple[Check, ...]:
    module = import_module(f"dmlbench.testing.kinds.{name}")
    return tuple(
        value
        for key, value in vars(module).items()
        if isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
    )


def check(
    kind: str,
    component: Any,
    settings: Mapping[str, Any] | None = None,
    argument: str | None = None,
) -> list[Finding]:
    """Run all checks of a kind on a component.

    Args:
        kind: "loss", "miner", "sampler", "backbone", "dataset", "baseline", "metric", "executor"
            or "hooks".
        component: its class; of hooks the module or object.
        settings: hyper-parameters to check it with, where they differ from the defaults.
        argument: which member of a family, such as ``"resnet18"`` of ``timm``.

    Returns:
        The result of each check. Anything that the component raises is reported there.

    Example:
        >>> from dmlbench import Miner, PairMask
        >>> class NoNegatives(Miner):
        ...     "Chooses positives twice."
        ...     makes = "pairs"
        ...
        ...     def select(self, pairs):
        ...         return PairMask(pairs.positive, pairs.positive)
        >>> for finding in check("miner", NoNegatives):
        ...     if finding.outcome == "failed":
        ...         print(finding.claim)
        it chooses true positives and true negatives only
        embeddings of any length are mined or refused
    """
    return list(examinations(Subject(kind, component, settings or {}, argument)))


def examinations(subject: Subject) -> Iterator[Finding]:
    """Yield the result of each check of `subject`, one after the other."""
    return (examine(check, subject) for check in checks(subject.kind))


def examine(check: Check, subject: Subject) -> Finding:
    """Return the result of `check`, which is skipped unless all foundations before it hold."""
    for foundation in _checks_in(_MODULES[subject.kind][0]):
        if foundation is check:
            break
        found = _run(foundation, subject)
        if found.outcome == "skipped":
            return Finding(check.__name__, "skipped", found.text)
        if found.outcome == "failed":
            return Finding(check.__name__, "skipped", f"Not run: the check {found.claim!r} failed.")
    return _run(check, subject)


def _run(check: Check, subject: Subject) -> Finding:
    try:
        with as_in_a_trial():
            check(subject)
    except NotApplicableError as reason:
        return Finding(check.__name__, "skipped", str(reason))
    except ShortcomingError as advice:
        return Finding(check.__name__, "warned", with_cases(advice, str(advice)))
    except PluginError as advice:
        return Finding(check.__name__, "failed", with_cases(advice, str(advice)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything at all
        return _unexpected(error, check, subject)
    return Finding(check.__name__, "passed")


def _unexpected(error: BaseException, check: Check, subject: Subject) -> Finding:
    said = f": {shorten(str(error), 300)}" if str(error) else ""
    cause = f"{subject.name} raised {type(error).__name__}{said} ({_place(error, subject)})"
    claim = " ".join(cleandoc(check.__doc__ or "").split())
    text = with_cases(error, f"{cause}. What must hold: {claim}")
    return Finding(check.__name__, "failed", text, cause)


def _place(error: BaseException, subject: Subject) -> str:
    """Return the last line of the component's own file on the way to `error`, else of any file."""
    frames = traceback.extract_tb(error.__traceback__)
    try:
        home = getsourcefile(subject.component)
    except TypeError:
        home = None
    frame = next((frame for frame in reversed(frames) if frame.filename == home), frames[-1])
    path = Path(frame.filename)
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else None
    return f"{here or Path(*path.parts[-2:])}, line {frame.lineno}: {frame.line}"
