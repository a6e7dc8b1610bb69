"""Queries that are in the gallery themselves, so that they would find themselves first."""

import numpy as np

from dmlbench.retrieval.inputs import Inputs

_ROWS_AT_ONCE = 4096
_CHECKED_AGAIN = 2**16


def in_gallery(inputs: Inputs) -> np.ndarray:
    """Return whether each query seems to be a gallery item itself ``[Q]`` (bool).

    It does if exactly one gallery item has the same vector, and that has the query's class. Where
    many items share a vector (a collapsed network, short binary codes), equality says nothing.

    Example:
        >>> from dmlbench.retrieval.inputs import read_inputs
        >>> items = np.eye(3)
        >>> in_gallery(read_inputs(items[:2], [0, 1], items[1:], [1, 2]))
        array([False,  True])
    """
    keys = _keys(inputs.gallery)
    keys, first, count = np.unique(keys, return_index=True, return_counts=True)
    wanted = _keys(inputs.queries)
    place = np.searchsorted(keys, wanted)
    place[place == len(keys)] = 0
    found: np.ndarray = (keys[place] == wanted) & (count[place] == 1) & inputs.is_query
    queries = np.flatnonzero(found)
    items = first[place[queries]]
    same: np.ndarray = inputs.gallery_labels[items] == inputs.labels[queries]
    for start in range(0, len(queries), _CHECKED_AGAIN):  # two vectors may have one key
        part = slice(start, start + _CHECKED_AGAIN)
        equal = inputs.queries[queries[part]] == inputs.gallery[items[part]]
        same[part] &= equal.all(axis=1)
    found[queries] = same
    return found


def _keys(vectors: np.ndarray) -> np.ndarray:
    """Return a 64-bit number for each row, the same for equal rows."""
    odd = np.random.default_rng(0).integers(2**63, size=vectors.shape[1], dtype=np.uint64) | 1
    keys = np.empty(len(vectors), np.uint64)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        bits = (vectors[part].astype(np.float64) + 0.0).view(np.uint64)  # -0 becomes 0
        keys[part] = ((bits ^ (bits >> np.uint64(31))) * odd).sum(axis=1, dtype=np.uint64)
    return keys
