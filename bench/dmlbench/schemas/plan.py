"""The trials of a run."""

from dataclasses import dataclass

from dmlbench.schemas.trial import Trial


@dataclass(frozen=True)
class Plan:
    """The trials of a run, and what was left out of it."""

    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    """A sentence each: what, why, and how to get it."""
