"""One rule for two rows whose difference is the same at every seed.

A t-test estimates chance from how the difference of two rows varies between seeds. Where it does
not vary, the test would be certain for any number n of seeds, and of any difference. So two such
rows are told apart

- if no seed changes either of them (raw pixels beside PCA): nothing is left to chance;
- else by the sign test alone. n differences of the same sign have the p-value ``2 ** (1 - n)``, and
  the interval of the sign test, from the least difference to the greatest, holds the true one with
  a probability of ``1 - 2 ** (1 - n)``. Five seeds (0.0625) tell no such rows apart and give no
  95 % interval; six (0.03125) do. Equal steps do occur by chance: one item more at every seed.

Tables (`compare`), single differences (`paired_difference`) and sets of records (`paired_p_value`)
all ask this module. Numbers that differ by less than their rounding are equal.

Source: Dixon and Mood, The Statistical Sign Test, JASA 1946.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-12
"""Relative to the larger of two rows: differences up to this are rounding errors."""


def rounding(values: NDArray[Any]) -> NDArray[Any]:
    """Return the difference ``[K, K]`` up to which two rows ``[K, n]`` count as equal."""
    largest = np.abs(values).max(axis=1)
    found: NDArray[Any] = _ROUNDING * np.maximum(largest[:, None], largest[None, :])
    return found


def same_step(values: NDArray[Any]) -> NDArray[Any]:
    """Return which pairs ``[K, K]`` of rows ``[K, n]`` differ by the same step at every seed.

    Pairs of rows that no seed changes are not among them.

    Example:
        >>> row = np.array([0.90, 0.91, 0.92, 0.91, 0.90])
        >>> bool(same_step(np.stack([row, row + 1 / 150]))[0, 1])
        True
        >>> bool(same_step(np.array([[0.4] * 5, [0.5] * 5]))[0, 1])
        False
    """
    few = rounding(values)
    least = most = values[:, None, 0] - values[None, :, 0]
    for seed in values.T[1:]:
        apart = seed[:, None] - seed[None, :]
        least, most = np.minimum(least, apart), np.maximum(most, apart)
    fixed = np.ptp(values, axis=1) <= few.diagonal()
    found: NDArray[Any] = (most - least <= few) & ~(fixed[:, None] & fixed[None, :])
    return found


def sign_test(seeds: int) -> float:
    """Return the two-sided p-value of `seeds` differences that all have the same sign.

    Example:
        >>> sign_test(5)
        0.0625
    """
    return float(2.0 ** (1 - seeds))
