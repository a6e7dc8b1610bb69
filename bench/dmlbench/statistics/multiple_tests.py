"""Several paired comparisons at once, with one guarantee for all of them."""

from collections.abc import Sequence

import numpy as np

from dmlbench.statistics.same_step import rounding, same_step, sign_test


def paired_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of the paired t-test on values ``[n]`` of the same seeds.

    Where all differences are equal, the rule of `dmlbench.statistics.same_step` holds: 0 for values
    that no seed changes, the p-value of the sign test for others. `compare` tells two rows by
    themselves apart just where this is below 5 %, and no two rows of a larger table elsewhere.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.

    Example:
        >>> round(paired_p_value([0.50, 0.52, 0.51], [0.60, 0.63, 0.60]), 4)
        0.0033
    """
    values = np.array([first, second], dtype=np.float64)
    apart = values[1] - values[0]
    few = rounding(values)[0, 1]
    if len(apart) == 1 or np.abs(apart).max() <= few:
        return 1.0
    if same_step(values)[0, 1]:
        return sign_test(len(apart))
    if np.ptp(apart) <= few:
        return 0.0
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
