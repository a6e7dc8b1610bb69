"""How queries compare with gallery items: fast, precise, and exact.

All three give one *value* a pair, larger is nearer. Where distances or angles decide, it is half
the negative squared distance, in the scale of both sides: for angles, the cosine less 1. Else it
is the inner product.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dmlbench.retrieval.distances import Distance
from dmlbench.retrieval.engine import rounding
from dmlbench.retrieval.engine.products import Multiply, Products, multiplier
from dmlbench.retrieval.engine.side import Frame, Side, frame_of
from dmlbench.retrieval.inputs import Inputs

_BYTES_COMPARED_AT_ONCE = 2**20
_COLUMNS = 2048
_MANY_PAIRS = 2**16  # from here on it pays to look for pairs of the same two rows


class Exact(NamedTuple):
    """Values of pairs by differences in float64."""

    value: np.ndarray
    rounding: np.ndarray
    """How far each may be off and still tie: see `rounding`."""


@dataclass(frozen=True)
class Comparison:
    """Both sides, and what their similarity is."""

    frame: Frame
    queries: Side
    gallery: Side
    symmetric: bool
    """Whether both sides are one set and value(a, b) is value(b, a)."""
    tolerance: float
    """What a caller adds to the tie rule, framed."""
    multiply: Multiply

    @property
    def shift(self) -> float:
        """What a float32 product is above the value."""
        return 1.0 if self.frame.rule == "angle" and not self.frame.with_norms else 0.0

    @property
    def all_alike(self) -> bool:
        """Whether all rows of both sides are the same: every item ties with every other."""
        sides = (self.queries, self.gallery)
        return (
            self.frame.rule != "product"
            and all(side.length.max() == 0 for side in sides)
            and len({half for side in sides for half in (side.half.min(), side.half.max())}) == 1
        )

    def similarity(self, value: np.ndarray) -> np.ndarray:
        """Return the similarities of exact values, in the units of the distance."""
        unscaled: np.ndarray = value / (self.queries.scale * self.gallery.scale)
        return unscaled + 1 if self.frame.rule == "angle" else unscaled

    def fast(self, top: int, bottom: int, left: int, right: int, out: np.ndarray) -> None:
        """Write values plus `shift`, in float32, of queries and gallery items to `out`."""
        self.multiply(self.queries.part(top, bottom), self.gallery.part(left, right), out)
        self.subtract_norms(slice(top, bottom), left, right, out)

    def precise(self, queries: np.ndarray, out: np.ndarray) -> Iterator[slice]:
        """Write values plus `shift` of queries and all items to `out` ``[n, G]``, in float64.

        They are values of products, not of differences. Yields each slice of columns when it is
        written, and still in the processor's cache.
        """
        rows = self.queries.precise_rows(queries)
        step = max(1, min(_COLUMNS, _BYTES_COMPARED_AT_ONCE // (8 * self.gallery.width)))
        for left in range(0, len(self.gallery), step):
            right = min(left + step, len(self.gallery))
            part = out[:, left:right]
            self.multiply(rows, self.gallery.precise_part(left, right), part)
            self.subtract_norms(queries, left, right, part)
            yield slice(left, right)

    def subtract_norms(
        self, queries: slice | np.ndarray, left: int, right: int, out: np.ndarray
    ) -> None:
        """Turn products of these queries and gallery items into values plus `shift`, in place.

        Args:
            queries: which.
            left: first gallery item.
            right: one past the last.
            out: products ``[n, right - left]``, float32 or float64.
        """
        if not self.frame.with_norms:
            return
        single = out.dtype == np.float32
        out -= (self.gallery.half_single if single else self.gallery.half)[left:right]
        out -= (self.queries.half_single if single else self.queries.half)[queries, None]

    def exact(self, queries: np.ndarray, items: np.ndarray) -> Exact:
        """Return the values of pairs ``[n]``, by differences in float64."""
        if len(queries) >= _MANY_PAIRS and self._repeats:
            pair = self.queries.group[queries] * (self.gallery.group.max() + 1)
            pair += self.gallery.group[items]
            _, chosen, which = np.unique(pair, return_index=True, return_inverse=True)
            if 2 * len(chosen) <= len(queries):
                each = self.exact(queries[chosen], items[chosen])
                return Exact(each.value[which], each.rounding[which])
        value, off = np.empty((2, len(queries)))
        step = max(1, _BYTES_COMPARED_AT_ONCE // (8 * self.queries.width))
        for first in range(0, len(queries), step):
            part = slice(first, first + step)
            value[part], off[part] = self._exact(queries[part], items[part])
        return Exact(value, off)

    @property
    def _repeats(self) -> bool:
        """Whether rows occur several times on either side."""
        return any(side.group.max() < 0.9 * len(side) for side in (self.queries, self.gallery))

    def _exact(self, queries: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.queries.mapped(queries), self.gallery.mapped(items)
        frame, width = self.frame, self.queries.width
        if frame.rule == "product":
            lengths = self.queries.length[queries] * self.gallery.length[items]
            scale = self.queries.scale * self.gallery.scale
            return np.einsum("ij,ij->i", x, y) * scale, rounding.of_products(lengths, width)
        scale = self.queries.scale
        if scale < 1:  # differences of huge numbers overflow
            x *= scale
            y *= scale
        x -= y
        if scale > 1:  # squares of tiny ones underflow
            x *= scale
        if frame.linear is not None:
            x = x @ frame.linear
        squared = np.einsum("ij,ij->i", x, x)
        if frame.rule == "angle":
            squared[self.queries.nothing[queries] | self.gallery.nothing[items]] = 2
        off = rounding.of_differences(squared, width, frame.condition, frame.rule == "angle")
        return squared / -2, off

    def tie(self, queries: np.ndarray, value: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Return the most by which an item can differ from one of `value` and tie with it.

        Args:
            queries: which ``[n]``.
            value: one value each ``[n]``; nearer items tie within less.
            error: bounds on the errors of these ``[n]``.
        """
        width = self.queries.width
        if self.frame.rule == "product":
            lengths = self.queries.length[queries] * self.gallery.length.max()
            return 2 * rounding.of_products(lengths, width)
        unit = self.frame.rule == "angle"
        squared = 2 * (np.maximum(-value, 0) + error)
        off = rounding.of_differences(squared, width, self.frame.condition, unit)
        return 3 * off + (unit * (8 * rounding.MULTIPLE * rounding.UNIT_DOUBLE) ** 2)


def compare(
    inputs: Inputs,
    orders: tuple[np.ndarray, np.ndarray],
    distance: Distance,
    *,
    tolerance: float,
    memory: int,
    products: Products = "numpy",
) -> Comparison:
    """Return the comparison of queries and gallery.

    Args:
        inputs: embeddings and labels.
        orders: which queries and which gallery items to take, in which order.
        distance: how to compare.
        tolerance: what to add to the tie rule, in units of the similarity.
        memory: bytes for float32 copies.
        products: whose matrix products to use.

    Raises:
        DataError: the distance is not defined for these vectors, or they are too large.
    """
    maps = distance.fit(inputs.queries, inputs.gallery)
    frame = frame_of(maps, inputs.gallery)
    symmetric = inputs.symmetric and maps.symmetric
    one = symmetric and maps.query is maps.gallery and orders[0] is orders[1]
    share = memory if one else memory // 2
    scale = None
    queries = Side(inputs.queries, orders[0], maps.query, frame, share)
    if frame.rule != "product" and not one:
        # Distances ask for one scale: that which suits the longer side.
        gallery = Side(inputs.gallery, orders[1], maps.gallery, frame, share)
        scale = min(queries.scale, gallery.scale)
        if queries.scale != scale:
            queries = Side(inputs.queries, orders[0], maps.query, frame, share, scale)
        if gallery.scale != scale:
            gallery = Side(inputs.gallery, orders[1], maps.gallery, frame, share, scale)
    else:
        gallery = queries if one else Side(inputs.gallery, orders[1], maps.gallery, frame, share)
    return Comparison(
        frame=frame,
        queries=queries,
        gallery=gallery,
        symmetric=symmetric,
        tolerance=tolerance * queries.scale * gallery.scale,
        multiply=multiplier(products),
    )
