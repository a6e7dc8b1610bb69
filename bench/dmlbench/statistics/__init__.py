"""Statistics over seeds: what means and their differences are worth."""

from dmlbench.statistics.best_rows import LEAST_SEEDS, Comparison, compare
from dmlbench.statistics.class_sampling import (
    LEAST_CLASSES,
    ClassNoise,
    class_noise,
    two_way_half_width,
)
from dmlbench.statistics.intervals import CONFIDENCE, Estimate, estimate
from dmlbench.statistics.mean_ranks import LEAST_DATASETS, Ranks, rank_over
from dmlbench.statistics.paired import paired_difference

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
