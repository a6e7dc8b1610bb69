"""Statistics over seeds: what means and their differences are worth."""

from dmlbench.statistics.best import LEAST_SEEDS, Comparison, compare
from dmlbench.statistics.estimate import CONFIDENCE, Estimate, estimate
from dmlbench.statistics.paired import paired_difference

__all__ = [
    "CONFIDENCE",
    "LEAST_SEEDS",
    "Comparison",
    "Estimate",
    "compare",
    "estimate",
    "paired_difference",
]
