"""Collapse: embeddings that differ by no more than the rounding of the network that made them.

Rounding, which differs from machine to machine, would rank such embeddings. So a trial that
collapsed is ranked as one whose embeddings are all equal, see `score_retrieval`.

The bound. Rounding one float32 number moves it by 2^-24 of its size at most. A network rounds many
times, but its errors partly cancel and sums are split into short ones: from one image, at all
places of batches of all sizes, networks of 4 to 50 layers made embeddings up to 1.3e-6 apart, 22
such roundings, and up to 1.9e-6 from those computed in float64. 256 roundings, 1.5e-5, are ten
times as much. Embeddings of a trained network in a cone of 1e-4 rank as well as any, and are seven
times as far apart.

In bfloat16 a backbone rounds numbers to 2^-9 of their size but adds up in float32, so that errors
seldom show: one image, at places of batches of up to 13, gave embeddings 3e-7 apart at most (three
networks, on a CPU). So it did in float16, which rounds to 2^-11. tf32, which rounds the inputs of
products to 2^-11, was not measured. Two such roundings are the bound of each.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from dmlbench.retrieval.distances import unit_length
from dmlbench.retrieval.inputs import read_embeddings

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings

BOUND = {
    "float32": 256 * 2.0**-24,
    "tf32": 2 * 2.0**-11,
    "bfloat16": 2 * 2.0**-9,
    "float16": 2 * 2.0**-11,
}
"""Most distance from the first item, over the length of the longest, by precision."""

_ROWS_AT_ONCE = 4096


def has_collapsed(
    *sets: "Embeddings",
    cosine: bool = True,
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32",
) -> bool:
    """Return whether all embeddings lie within a network's rounding of the first one.

    Args:
        sets: test embeddings ``[N, D]``; or those of queries and of the gallery ``[G, D]``.
        cosine: whether they are compared by direction, so that their lengths do not count.
        precision: in which the network computed; see `BOUND`.

    Raises:
        DataError: see `read_inputs`.

    Example:
        >>> import numpy as np
        >>> from dmlbench.retrieval import has_collapsed
        >>> noise = np.random.default_rng(0).normal(size=(100, 8))  # [N, D]
        >>> has_collapsed(1 + 1e-7 * noise), has_collapsed(1 + 1e-4 * noise)
        (True, False)
    """
    arrays = [read_embeddings(each, "embeddings") for each in sets]
    longest = 1.0 if cosine else _longest(arrays)

    def compared(rows: np.ndarray) -> np.ndarray:
        return unit_length(rows) if cosine else rows.astype(np.float64) / longest

    first = compared(arrays[0][:1])
    return all(
        (np.linalg.norm(compared(rows) - first, axis=1) <= BOUND[precision]).all()
        for array in arrays
        for rows in _blocks(array)
    )


def _longest(arrays: list[np.ndarray]) -> float:
    """Return the length of the longest row, or 1 if all are 0."""
    size = max(float(np.abs(rows).max()) for rows in arrays) or 1.0
    blocks = (rows.astype(np.float64) / size for array in arrays for rows in _blocks(array))
    return size * max(float(np.linalg.norm(rows, axis=1).max()) for rows in blocks) or 1.0


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), _ROWS_AT_ONCE):
        yield array[start : start + _ROWS_AT_ONCE]
