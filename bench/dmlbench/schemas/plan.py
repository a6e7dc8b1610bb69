"""The trials of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dmlbench.schemas.trial import Trial


@dataclass(frozen=True)
class Plan:
    """The trials of a run, what was left out of it, and what is odd about their data."""

    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    """A sentence each: what, why, and how to get it."""
    remarks: tuple[str, ...] = ()
    """A sentence each: what is odd about the data, such as copies of test items in train."""
    workloads: Mapping[str, str] = field(default_factory=dict)
    """By the name of a table, how many items one trained trial of it takes."""


def table_name(trial: Trial) -> str:
    """Return what plans call the table of a trial."""
    return f"{trial.dataset}, protocol {trial.protocol.name}"
