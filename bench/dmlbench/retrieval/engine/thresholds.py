"""The tie rule, and float32 numbers as integers that sort alike.

A negative n ranks above a positive p if s_n >= s_p - tolerance, decided as in exact arithmetic:
the difference is taken in float64 and rounded up to the next number of the similarities' own type.
"""

import numpy as np

_SIGN = np.uint32(0x80000000)


def at_least(similarity: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the smallest number of the same type that is `similarity` - `tolerance` or more."""
    exact = similarity.astype(np.float64) - tolerance
    rounded = exact.astype(similarity.dtype)
    up = np.nextafter(rounded, similarity.dtype.type(np.inf))
    return np.where(rounded < exact, up, rounded)


def above(similarity: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the smallest number of the same type that is more than `similarity` + `tolerance`."""
    exact = similarity.astype(np.float64) + tolerance
    rounded = exact.astype(similarity.dtype)
    up = np.nextafter(rounded, similarity.dtype.type(np.inf))
    return np.where(rounded <= exact, up, rounded)


def sortable(similarity: np.ndarray) -> np.ndarray:
    """Return float32 numbers as uint32 that compare as the numbers do (-0 and 0 are equal)."""
    bits = (similarity + np.float32(0)).view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def unsortable(integers: np.ndarray) -> np.ndarray:
    """Return the float32 numbers that `sortable` turned into `integers`."""
    bits = np.where(integers & _SIGN, integers ^ _SIGN, ~integers)
    return bits.astype(np.uint32).view(np.float32)


def pack(query: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Return uint64 keys that sort by query (below 2^32), then by similarity (float32)."""
    high: np.ndarray = query.astype(np.uint64) << np.uint64(32)
    keys: np.ndarray = high | sortable(similarity)
    return keys


def packed_query(keys: np.ndarray) -> np.ndarray:
    """Return the queries of keys (int64)."""
    return (keys >> np.uint64(32)).astype(np.int64)


def packed_similarity(keys: np.ndarray) -> np.ndarray:
    """Return the similarities of keys (float32)."""
    return unsortable((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32))
