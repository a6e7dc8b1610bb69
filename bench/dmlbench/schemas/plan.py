"""The trials of a run, and what one of them takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dmlbench.schemas.trial import Trial


@dataclass(frozen=True)
class Workload:
    """Items that a network sees in one trained trial, each time that it sees them.

    Attributes:
        learnt: in training steps, for one view of each; at most, where a network is trained anew up
            to the epoch that was selected.
        measured: embedded for validation and curves; at most, as above.
        tested: embedded at the end.
        frozen: whether they are features computed once for all trials.
        items: of all splits.
        shape: of one item, as the backbone gets it.
        photo_bytes: of the store of decoded photos; 0 without one.
    """

    learnt: int
    measured: int
    tested: int
    frozen: bool
    items: int = 0
    shape: tuple[int, ...] = ()
    photo_bytes: int = 0

    @property
    def passes(self) -> int:
        """Return how many forward passes of one item take as long; a training step takes three."""
        return 3 * self.learnt + self.measured + self.tested

    def __str__(self) -> str:
        kind = "features" if self.frozen else "items"
        return (
            f"a trained trial: {self.learnt:,} {kind} in training, {self.measured:,} in validation "
            f"and curves, {self.tested:,} in test"
        )


@dataclass(frozen=True)
class Plan:
    """The trials of a run, what was left out of it, and what is odd about their data."""

    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    """A sentence each: what, why, and how to get it."""
    remarks: tuple[str, ...] = ()
    """A sentence each: what is odd about the data, such as copies of test items in train."""
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    """By the name of a table, how many items one trained trial of it takes; not of those that are
    cross-validated."""


def table_name(trial: Trial) -> str:
    """Return what plans call the table of a trial."""
    return f"{trial.dataset}, protocol {trial.protocol.name}"
