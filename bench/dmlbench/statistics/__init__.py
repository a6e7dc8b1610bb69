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

__all__ = [
    "CONFIDENCE",
    "LEAST_CLASSES",
    "LEAST_SEEDS",
    "ClassNoise",
    "Comparison",
    "Estimate",
    "class_noise",
    "compare",
    "estimate",
    "paired_difference",
    "two_way_half_width",
]
