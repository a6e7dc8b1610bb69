"""Rows next to each other in the order of the means: which the paired test tells apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dmlbench.counted import counted
from dmlbench.statistics import CONFIDENCE
from dmlbench.statistics.multiple_tests import paired_p_value


@dataclass(frozen=True)
class Neighbours:
    """Pairs of rows of which one follows the other."""

    pairs: int
    alike: int
    """Pairs that can't be told apart."""

    def sentences(self) -> list[str]:
        """Return how many can't be told apart, in a sentence."""
        return [
            f"{self.alike} of {counted(self.pairs, 'pair')} of neighbours in the order of the "
            "means can't be told apart (paired t-test at 5 %, each pair by itself)."
        ]


def compare_neighbours(values: Sequence[Sequence[float]]) -> Neighbours:
    """Return how many of the rows ``[K][n]`` (best mean first, same seeds) differ from the next.

    Each pair is tested by itself: to correct for their number would call still fewer pairs
    different.

    Example:
        >>> compare_neighbours([[0.9, 0.8, 0.9], [0.9, 0.8, 0.8], [0.3, 0.1, 0.2]])
        Neighbours(pairs=2, alike=1)
    """
    p_values = [paired_p_value(first, second) for first, second in pairwise(values)]
    return Neighbours(len(p_values), sum(value >= 1 - CONFIDENCE for value in p_values))
