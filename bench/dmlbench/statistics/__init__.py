"""Statistics over seeds: what means and their differences are worth."""

from dmlbench.statistics.best import LEAST_SEEDS, Comparison, compare
from dmlbench.statistics.classes import (
    LEAST_CLASSES,
    ClassNoise,
    class_noise,
    two_way_half_width,
)
from dmlbench.statistics.estimate import CONFIDENCE, Estimate, estimate
from dmlbench.statistics.paired import paired_difference
from dmlbench.statistics.ranks import LEAST_DATASETS, Ranks, rank_over

__all__ = [
    "CONFIDENCE",
    "LEAST_CLASSES",
    "LEAST_DATASETS",
    "LEAST_SEEDS",
    "ClassNoise",
    "Comparison",
    "Estimate",
    "Ranks",
    "class_noise",
    "compare",
    "estimate",
    "paired_difference",
    "rank_over",
    "two_way_half_width",
]
