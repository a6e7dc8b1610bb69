"""Random numbers that depend on the image, not on the order in which they are drawn.

Every number is a hash of what it is for: (seed, stream, epoch), the item, how often the epoch has
shown the item before, the view, the purpose, and its position. So the augmentation of an image does
not depend on which thread prepares it, when, or in which batch; batches may be made in any order by
any number of threads.

The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number
generators, OOPSLA 2014) over a chain of the words that it depends on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Purpose(IntEnum):
    """What random numbers are for; each purpose has its own, whether or not others are drawn."""

    CROP = 0
    SHIFT = 1
    FLIP = 2
    COLOUR = 3


@dataclass(frozen=True)
class RandomNumbers:
    """The random numbers of the images of a batch.

    Attributes:
        states: hashes that tell the images of all batches apart ``[B]`` uint64.
    """

    states: np.ndarray

    @classmethod
    def of(
        cls, key: tuple[int, ...], items: np.ndarray, repeats: np.ndarray, views: np.ndarray | int
    ) -> "RandomNumbers":
        """Return the random numbers of a batch.

        Args:
            key: seed, stream and epoch.
            items: which item each image shows ``[B]``.
            repeats: how often the epoch has shown it before ``[B]``.
            views: which of several copies of its item each image is ``[B]``, or all of them are.
        """
        states = np.zeros(len(items), dtype=np.uint64)
        for word in (*(np.full(1, number) for number in key), items, repeats, np.atleast_1d(views)):
            states = _mixed(states + _GOLDEN, word)
        return cls(states)

    def uniform(self, change: Purpose, count: int) -> np.ndarray:
        """Return `count` numbers for each image, in [0, 1) ``[B, count]`` float64."""
        states = _mixed(self.states + _GOLDEN, np.full(1, int(change)))
        places = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        bits = _hashed(states[:, None] + places)
        numbers: np.ndarray = (bits >> np.uint64(11)) * 2.0**-53
        return numbers


def repeats(batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return for each item of each batch ``[B]`` how often it came earlier, in any of the batches.

    >>> repeats([np.array([7, 5]), np.array([7, 7])])
    [array([0, 0]), array([1, 2])]
    """
    if not batches:
        return []
    items = np.concatenate(batches)
    order = np.argsort(items, kind="stable")
    starts = np.concatenate([[True], np.diff(items[order]) != 0])
    places = np.arange(len(items))
    first = np.maximum.accumulate(np.where(starts, places, 0))
    before = np.empty(len(items), dtype=np.int64)
    before[order] = places - first
    return np.split(before, np.cumsum([len(batch) for batch in batches])[:-1])


def _mixed(states: np.ndarray, word: np.ndarray) -> np.ndarray:
    return _hashed(states ^ _hashed(word.astype(np.int64).view(np.uint64) + _GOLDEN))


def _hashed(values: np.ndarray) -> np.ndarray:
    """Apply the finaliser of SplitMix64 to each value; arrays wrap round silently."""
    values = (values ^ (values >> np.uint64(30))) * _FACTORS[0]
    values = (values ^ (values >> np.uint64(27))) * _FACTORS[1]
    values ^= values >> np.uint64(31)
    return values
