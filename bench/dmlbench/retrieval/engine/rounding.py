"""The tie rule, and bounds on what rounding does to a similarity.

Two gallery items tie for a query if their similarities, computed by differences in float64, lie
closer together than `MULTIPLE` times what rounding can do to that computation. Everything faster
than that computation comes with a bound on its error, and decides only what the bound allows.
"""

import numpy as np

UNIT_DOUBLE = 2.0**-53
UNIT_SINGLE = 2.0**-24
MULTIPLE = 16
_FURTHER_STEPS = 8  # of a product: reading its factors, half norms, and subtracting them
_BITS_OF_A_DOUBLE = 52
STEP = 2.0**-22
"""Of a float32 number: more than a tag and its own rounding can hide."""


def product_error(width: int, unit: float) -> float:
    """Return the bound on the error of x.y - (x.x + y.y) / 2, over x.x + y.y.

    That of a sum of `width` products in any order is (width + 2) unit |x| |y|, and |x| |y| is at
    most (x.x + y.y) / 2.

    Args:
        width: numbers in a row.
        unit: largest relative error of one operation.
    """
    return (width + _FURTHER_STEPS) * unit / 2


def of_differences(squared: np.ndarray, width: int, condition: float, unit: bool) -> np.ndarray:
    """Return `MULTIPLE` times the rounding of half a squared distance, computed by differences.

    Args:
        squared: squared distances.
        width: numbers in a row.
        condition: condition number of the linear map of the differences.
        unit: whether the rows were brought to length 1, which rounds each of their numbers.
    """
    rounding = (width + 2) * condition * squared
    if unit:
        rounding = rounding + 8 * np.sqrt(squared)
    return MULTIPLE * UNIT_DOUBLE / 2 * rounding


def of_products(lengths: np.ndarray, width: int) -> np.ndarray:
    """Return `MULTIPLE` times the rounding of inner products of rows of these lengths' product."""
    return MULTIPLE * UNIT_DOUBLE * (width + 2) * lengths


def single_at_least(threshold: np.ndarray) -> np.ndarray:
    """Return the smallest float32 number that is `threshold` or more."""
    with np.errstate(over="ignore"):
        rounded = threshold.astype(np.float32)
    return np.where(rounded < threshold, np.nextafter(rounded, np.float32(np.inf)), rounded)


def tag(values: np.ndarray, numbers: np.ndarray, bits: int) -> np.ndarray:
    """Return `values` with the last `bits` bits of each replaced by a number, to sort them by.

    Args:
        values: float64. Those that were float32 lose nothing to 29 bits and keep their order.
        numbers: below 2^bits, of the same shape.
        bits: how many.
    """
    whole = values.view(np.int64)
    tagged: np.ndarray = ((whole >> bits << bits) | numbers).view(np.float64)
    return tagged


def number_in(tagged: np.ndarray, bits: int) -> np.ndarray:
    """Return the numbers that `tag` put into the last bits."""
    numbers: np.ndarray = tagged.view(np.int64) & ((1 << bits) - 1)
    return numbers


def tag_error(bits: int) -> float:
    """Return the relative error of a value whose last bits hold a number."""
    return 2.0 ** (bits - _BITS_OF_A_DOUBLE)
