"""The trials of a run."""

from dataclasses import dataclass

from dmlbench.schemas.trial import Trial


@dataclass(frozen=True)
class Plan:
    """The trials of a run, what was left out of it, and what is odd about their data."""

    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    """A sentence each: what, why, and how to get it."""
    remarks: tuple[str, ...] = ()
    """A sentence each: what is odd about the data, such as copies of test items in train."""
