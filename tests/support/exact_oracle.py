"""Squared distances in arithmetic without rounding, and the tie rule applied to them."""

from fractions import Fraction
from functools import cache

import mpmath
import numpy as np

UNIT = Fraction(1, 2**53)
MULTIPLE = 16
mpmath.mp.prec = 1200


def integers(rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Return floats as whole numbers, and the power of two that they were multiplied by."""
    fractions = [[Fraction(float(value)) for value in row] for row in np.atleast_2d(rows)]
    power = max(value.denominator for row in fractions for value in row)
    whole = [[int(value * power) for value in row] for row in fractions]
    return np.array(whole, dtype=object), power


def squared_distances(queries, gallery, distance) -> list[list]:
    """Return what the tie rule compares, a smaller number being nearer, with 1,200 bits.

    That is the squared distance of vectors; of unit vectors for cosines; of square roots of
    distributions for "matusita"; of whitened vectors for a `Mahalanobis`.
    """
    if distance == "matusita":
        x, y = (_roots(rows) for rows in (queries, gallery))
        return [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for q in y] for p in x]
    together, power = integers(np.vstack([queries, gallery]))
    x, y = together[: len(queries)], together[len(queries) :]
    if distance == "cosine":
        products = x.dot(y.T)
        x2, y2 = ([int(row.dot(row)) for row in rows] for rows in (x, y))

        def angle(i, j):
            if not x2[i] or not y2[j]:
                return mpmath.mpf(2)
            return 2 - 2 * mpmath.mpf(int(products[i, j])) / mpmath.sqrt(mpmath.mpf(x2[i] * y2[j]))

        return [[angle(i, j) for j in range(len(y))] for i in range(len(x))]
    turned, scale = (None, 1)
    if not isinstance(distance, str):
        turned, scale = integers(distance.whitening)
    result = []
    for row in x:
        differences = y - row
        if turned is not None:
            differences = differences.dot(turned)
        squares = (differences * differences).sum(axis=1)
        result.append([mpmath.mpf(int(value)) / (power * scale) ** 2 for value in squares])
    return result


def _roots(rows):
    totals = [sum(Fraction(float(v)) for v in row) for row in rows]

    @cache
    def root(value):
        return mpmath.sqrt(mpmath.mpf(value.numerator) / value.denominator)

    return [
        [root(Fraction(float(v)) / total) for v in row]
        for row, total in zip(rows, totals, strict=True)
    ]


def nearer_first(squared: list, dimension: int, distance, multiple: float) -> list[list[bool]]:
    """Return of which items each is no further than another, ties included: ``[this][other]``."""
    condition = 1.0
    if not isinstance(distance, str):
        condition = np.linalg.norm(distance.whitening) / np.linalg.svd(distance.whitening)[1][-1]
    step = mpmath.mpf(multiple) * MULTIPLE / 2**53

    def rounding(square):
        own = (dimension + 2) * float(condition) * square
        return step * (own + 8 * mpmath.sqrt(square) if distance in ("cosine", "matusita") else own)

    low = [value - rounding(value) for value in squared]
    high = [value + rounding(value) for value in squared]
    return [[this <= other for other in high] for this in low]
