"""Float32 numbers as integers that sort alike, and those with a query as 64-bit keys."""

import numpy as np

_SIGN = np.uint32(0x80000000)


def sortable(value: np.ndarray) -> np.ndarray:
    """Return float32 numbers as uint32 that compare as the numbers do (-0 and 0 are equal)."""
    bits = (value + np.float32(0)).view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def unsortable(integers: np.ndarray) -> np.ndarray:
    """Return the float32 numbers that `sortable` turned into `integers`."""
    bits = np.where(integers & _SIGN, integers ^ _SIGN, ~integers)
    return bits.astype(np.uint32).view(np.float32)


def pack(query: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return uint64 keys that sort by query (below 2^32), then by value (float32)."""
    high: np.ndarray = query.astype(np.uint64) << np.uint64(32)
    keys: np.ndarray = high | sortable(value)
    return keys


def packed_query(keys: np.ndarray) -> np.ndarray:
    """Return the queries of keys (int64)."""
    return (keys >> np.uint64(32)).astype(np.int64)


def packed_value(keys: np.ndarray) -> np.ndarray:
    """Return the values of keys (float32)."""
    return unsortable((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32))
