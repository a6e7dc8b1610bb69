"""The digits of figures in published files: one rule for every column and every format.

A file holds the digits that mean something: six significant ones, no decimals beyond the twelfth,
and never less than the whole part of a number. A metric of a test set of 10,000 items moves in
steps of 0.0001, and between seeds by more. What lies beyond depends on the order in which a
processor adds, and would make the same records give other bytes elsewhere.

What is decided by figures (the order of rows, which are below a floor, ranks across datasets) is
decided by these, as a reader of the file would: figures written alike are equal. Pages round once
more, to two decimals of a percent, and always from the whole figure: rounded from six digits,
94.3249 would be 94.33.
"""

from math import isfinite
from typing import Any

DIGITS = 6
"""Significant digits."""

DECIMALS = 12
"""A figure below half a unit of the last is 0: what is left of numbers that cancelled out."""


def written(value: float) -> float:
    """Return a figure with the digits that files hold.

    Example:
        >>> written(0.6543214999), written(1234567.8), written(-1e-17)
        (0.654321, 1234568.0, 0.0)
    """
    if not isfinite(value):
        return value
    rounded = round(value) if abs(value) >= 10**DIGITS else float(f"{value:.{DIGITS}g}")
    return round(float(rounded), DECIMALS) + 0.0  # no negative zero


def all_written(content: Any) -> Any:
    """Return `content`, nested as a JSON document is, with all its floats `written`.

    Those that are no finite number become None.
    """
    if isinstance(content, float):
        return written(content) if isfinite(content) else None
    if isinstance(content, dict):
        return {key: all_written(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [all_written(value) for value in content]
    return content
