"""The queries, or the gallery, in class order: in float32 for speed, in float64 for certainty."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dmlbench.errors import DataError
from dmlbench.retrieval.distances import Map, Maps, Rule
from dmlbench.retrieval.engine.rounding import UNIT_DOUBLE, UNIT_SINGLE, product_error

_BYTES_MAPPED_AT_ONCE = 2**20
_ROWS_TO_CENTRE_ON = 1024
_CENTRED_IF_NEARER = 0.25
"""Unit vectors are centred if their centre's squared length exceeds this."""
_EXPONENT = 32
_SMALLEST = 2.0**-90
"""What the underflow of float32 can hide, per number, if the largest row is 2^32 long."""


@dataclass(frozen=True)
class Frame:
    """Where to look from, so that float32 sees most: the centre and the scale of both sides."""

    rule: Rule
    centre: np.ndarray | None
    linear: np.ndarray | None
    condition: float
    """Norm of `linear` over its smallest singular value; 1 without."""

    @property
    def with_norms(self) -> bool:
        """Whether half squared norms are subtracted from products."""
        return self.rule == "distance" or self.centre is not None


def frame_of(maps: Maps, gallery: np.ndarray) -> Frame:
    """Return the frame for a gallery ``[G, D]``, centred on the median: no outlier moves it."""
    condition, centre = 1.0, None
    if maps.rule != "product":
        step = -(-len(gallery) // _ROWS_TO_CENTRE_ON)
        sample = np.sort(maps.gallery(gallery[::step]), axis=0)
        centre = sample[len(sample) // 2]
        if maps.rule == "angle" and float(centre @ centre) <= _CENTRED_IF_NEARER:
            centre = None
    if maps.linear is not None:
        values = np.linalg.svd(maps.linear, compute_uv=False)
        condition = float(np.linalg.norm(values) / values[-1]) if values[-1] > 0 else np.inf
    return Frame(maps.rule, centre, maps.linear, condition)


class Side:
    """Rows ``vectors[order]`` after a distance's map.

    Args:
        vectors: embeddings ``[N, D]``.
        order: which rows to take, and in which order ``[M]``.
        mapping: the distance's map.
        frame: see `Frame`.
        keep_below: most bytes that copies of all rows may take, in float32 and, if both fit, in
            float64; what is not kept is made in parts, on demand.
        scale: what to multiply rows by; None for the power of two that suits them.

    Attributes:
        half: half the squared norm of each row, framed ``[M]``; 0 where none is subtracted.
        slack: its share of the error of a float32 similarity ``[M]``.
        precise_slack: its share of the error of a float64 similarity ``[M]``.
        length: norm of each row, framed ``[M]``.
        scale: what rows are multiplied by, a power of two.
        width: E, numbers in a framed row.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        order: np.ndarray,
        mapping: Map,
        frame: Frame,
        keep_below: int,
        scale: float | None = None,
    ) -> None:
        self._vectors, self._order, self._mapping, self._frame = vectors, order, mapping, frame
        self._kept: np.ndarray | None = None  # framed, in float32
        self._mapped: np.ndarray | None = None
        self.scale = 1.0
        self.width = self._framed(slice(0, 1)).shape[1]
        if scale is not None:
            self.scale = scale
        elif frame.rule != "angle":
            self.scale = self._fitting_scale()
        total = len(order)
        self.length, self.half = np.zeros(total), np.zeros(total)
        if total * self.width * 4 <= keep_below:
            self._kept = np.empty((total, self.width), np.float32)
        mapped_width = mapping(vectors[order[:1]]).shape[1]
        if total * (self.width * 4 + mapped_width * 8) <= keep_below:
            self._mapped = np.empty((total, mapped_width))
        for rows in self._steps(0, total):
            mapped = mapping(vectors[order[rows]])
            if self._mapped is not None:
                self._mapped[rows] = mapped
            if frame.rule == "angle":
                self.half[rows][~mapped.any(axis=1)] = 0.5  # a right angle away from everything
            framed = self._frame_rows(mapped)
            self.length[rows] = np.sqrt(np.einsum("ij,ij->i", framed, framed))
            if self._kept is not None:
                self._kept[rows] = framed
        self.nothing = self.half > 0
        squared = self.length**2
        if frame.with_norms:
            self.half += squared / 2
        else:
            self.half[:] = 0
        self.slack = product_error(self.width, UNIT_SINGLE) * squared + self.width * _SMALLEST
        # Twice, for the rounding of centred rows, and of lengths that should be 1.
        # The smallest number covers what a tag makes of 0.
        self.precise_slack = 2 * product_error(self.width, UNIT_DOUBLE) * squared
        self.precise_slack += np.finfo(np.float64).tiny
        if frame.linear is not None:
            # A row's own rounding, over its length, is at most this.
            turned = 2 * (self.width + 2) * UNIT_DOUBLE * frame.condition * squared
            self.slack += turned
            self.precise_slack += turned
        self.half_single = self.half.astype(np.float32)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def kept(self) -> bool:
        """Whether a float32 copy is in memory, so that a part costs nothing."""
        return self._kept is not None

    def part(self, start: int, end: int) -> np.ndarray:
        """Return rows `start` to `end` in float32 ``[end - start, E]``."""
        if self._kept is not None:
            return self._kept[start:end]
        made = np.empty((end - start, self.width), np.float32)
        for rows in self._steps(start, end):
            made[rows.start - start : rows.stop - start] = self._framed(rows)
        return made

    def precise_part(self, start: int, end: int) -> np.ndarray:
        """Return rows `start` to `end` in float64 ``[end - start, E]``."""
        if self._mapped is not None:
            return self._framed(slice(start, end))
        made = np.empty((end - start, self.width))
        for rows in self._steps(start, end):
            made[rows.start - start : rows.stop - start] = self._framed(rows)
        return made

    @cached_property
    def group(self) -> np.ndarray:
        """Return a number for each row, the same for rows of the same bits ``[M]``."""
        numbers: dict[bytes, int] = {}
        group = np.empty(len(self), np.int64)
        for rows in self._steps(0, len(self)):
            for place, row in enumerate(self._vectors[self._order[rows]], start=rows.start):
                digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
                group[place] = numbers.setdefault(digest, len(numbers))
        return group

    def precise_rows(self, positions: np.ndarray) -> np.ndarray:
        """Return some rows in float64 ``[n, E]``."""
        return self._frame_rows(self.mapped(positions))

    def mapped(self, positions: np.ndarray) -> np.ndarray:
        """Return some rows as the distance maps them, neither centred nor scaled ``[n, D]``."""
        if self._mapped is not None:
            return self._mapped.take(positions, axis=0)
        return self._mapping(self._vectors[self._order[positions]])

    def rows_in(self, memory: int) -> int:
        """Return how many rows, at least 1, a part may have to fit into `memory` bytes."""
        return sys.maxsize if self.kept else max(1, memory // (4 * self.width))

    def bytes_of(self, rows: int) -> int:
        """Return the bytes that a part of this many rows takes."""
        return 0 if self.kept else rows * 4 * self.width

    def _steps(self, start: int, end: int) -> Iterator[slice]:
        step = max(1, _BYTES_MAPPED_AT_ONCE // (8 * max(self.width, self._vectors.shape[1])))
        for first in range(start, end, step):
            yield slice(first, min(first + step, end))

    def _framed(self, rows: slice) -> np.ndarray:
        """Return some rows mapped, centred, scaled and turned."""
        if self._mapped is not None:
            return self._frame_rows(self._mapped[rows])
        return self._frame_rows(self._mapping(self._vectors[self._order[rows]]))

    def _frame_rows(self, mapped: np.ndarray) -> np.ndarray:
        if self._frame.centre is not None:
            mapped = mapped - self._frame.centre
        if self.scale != 1:
            mapped = mapped * self.scale
        if self._frame.linear is not None:
            mapped = mapped @ self._frame.linear
        return mapped

    def _fitting_scale(self) -> float:
        """Return the power of two that makes the largest number about 2^32.

        Raises:
            DataError: a mapped number is beyond float64.
        """
        largest = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for rows in self._steps(0, len(self._order)):
                framed = self._framed(rows)
                largest = max(largest, float(np.abs(framed).max()))
                if not np.isfinite(framed).all():
                    largest = np.inf
        if not np.isfinite(largest):
            raise DataError(
                "The embeddings are too large, as their differences overflow float64. Scale them "
                "down."
            )
        if largest == 0:
            return 1.0
        exponent = int(np.clip(_EXPONENT - np.frexp(largest)[1], -1000, 1000))
        return float(np.ldexp(1.0, exponent))
