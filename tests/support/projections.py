"""Comparison of projections, whose directions have no sign."""

import numpy as np


def same_up_to_sign(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-4) -> bool:
    return np.allclose(np.abs(ours), np.abs(theirs), atol=tolerance)
