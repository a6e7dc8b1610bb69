"""What an engine measures, and where it writes the results."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dmlbench.retrieval.engine.comparison import Comparison
from dmlbench.retrieval.engine.layout import ClassLayout

BYTES_PER_LISTED_NEGATIVE = 56
"""Its query, its item and its value, several times: to sort it, and to see what is kept."""


class CandidatesOverflowError(Exception):
    """So many negatives may or may not precede a positive that their list does not fit."""


@dataclass(frozen=True)
class Task:
    """The data in class order, and what to measure."""

    layout: ClassLayout
    comparison: Comparison
    precision_at: tuple[int, ...]
    whole_ranking: bool
    """Whether all positives are ranked, for the average precision of the whole ranking."""
    keep_ranks: bool
    """Whether to keep these ranks themselves."""
    memory: int
    """Bytes of working memory, on top of the float32 rows."""

    @property
    def items(self) -> int:
        """Return the number of gallery items."""
        return len(self.comparison.gallery)

    @cached_property
    def _gallery_slack(self) -> float:
        return float(self.comparison.gallery.slack.max())

    def slack(self, queries: np.ndarray) -> np.ndarray:
        """Return bounds on the errors of the fast values of `queries` ``[b]``."""
        bound: np.ndarray = self.comparison.queries.slack[queries] + self._gallery_slack
        return bound

    @cached_property
    def class_precise_slack(self) -> np.ndarray:
        """Return the largest share of a class's items in the error of a precise value ``[C]``."""
        slack = self.comparison.gallery.precise_slack
        largest: np.ndarray = np.maximum.reduceat(slack, self.layout.class_start)
        return largest

    @property
    def depth(self) -> np.ndarray:
        """Rank down to which each query's positives are ranked exactly ``[Q']``."""
        deepest: np.ndarray = np.maximum(self.layout.relevant, max(self.precision_at, default=0))
        return deepest

    @property
    def first_rank(self) -> np.ndarray:
        """Return where the ranks of each query's positives begin in `Figures` ``[Q']``."""
        first: np.ndarray = np.cumsum(self.layout.relevant) - self.layout.relevant
        return first


@dataclass(frozen=True)
class Figures:
    """Figures of each query of a layout ``[Q']``; 0 where it has no positive."""

    best_rank: np.ndarray
    hits: np.ndarray
    average_precision: np.ndarray
    ties: np.ndarray
    hits_at: dict[int, np.ndarray]
    whole_average_precision: np.ndarray | None
    positive_ranks: np.ndarray | None
    """Ranks of all positives, best first, query after query ``[sum of relevant]``."""

    @classmethod
    def zeros(cls, task: Task) -> "Figures":
        """Return figures of 0, for an engine to fill in."""
        total = len(task.layout.relevant)
        return cls(
            best_rank=np.zeros(total, np.int64),
            hits=np.zeros(total, np.int64),
            average_precision=np.zeros(total),
            ties=np.zeros(total, np.int64),
            hits_at={k: np.zeros(total, np.int64) for k in task.precision_at},
            whole_average_precision=np.zeros(total) if task.whole_ranking else None,
            positive_ranks=(
                np.zeros(int(task.layout.relevant.sum()), np.int32) if task.keep_ranks else None
            ),
        )
