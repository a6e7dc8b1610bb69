"""Several paired comparisons at once, with one guarantee for all of them."""

from collections.abc import Sequence

import numpy as np


def paired_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of the paired t-test on values ``[n]`` of the same seeds.

    Where all differences are equal, the t-test would be certain for any n. We return 0 for values
    that no seed changes, since nothing is left to chance, and for others the p-value of the sign
    test, ``2 ** (1 - n)``, since such steps (an item more or fewer) do occur by chance.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.

    Example:
        >>> round(paired_p_value([0.50, 0.52, 0.51], [0.60, 0.63, 0.60]), 4)
        0.0033
    """
    values = np.array([first, second], dtype=np.float64)
    apart = values[1] - values[0]
    if not apart.any():
        return 1.0
    if np.ptp(apart) <= 1e-12:
        fixed = np.ptp(values, axis=1).max() == 0
        return 0.0 if fixed and len(apart) > 1 else 2.0 ** (1 - len(apart))
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(apart, 0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that in 95 of 100 families no claim below 5 % is false.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Stat. 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, reached = [0.0] * len(p_values), 0.0
    by_size = sorted(range(len(p_values)), key=p_values.__getitem__)
    for done, place in enumerate(by_size):
        reached = max(reached, min(1.0, (len(p_values) - done) * p_values[place]))
        adjusted[place] = reached
    return adjusted
