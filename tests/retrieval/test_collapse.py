"""Which embeddings differ by no more than a network's rounding."""

import numpy as np
import pytest

from dmlbench.retrieval import has_collapsed

NOISE = np.random.default_rng(0).normal(size=(5000, 32))
CENTRE = np.random.default_rng(1).normal(size=32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize(("spread", "expected"), [(0, True), (1e-7, True), (1e-4, False)])
def test_a_spread_of_rounding_is_told_from_a_narrow_cone(scale, dtype, cosine, spread, expected):
    rows = (scale * (CENTRE + spread * NOISE)).astype(dtype)
    assert has_collapsed(rows, cosine=cosine) is expected
    assert has_collapsed(unit(rows.astype(np.float64)).astype(dtype)) is expected


def test_one_item_apart_is_no_collapse_wherever_it_is():
    for place in (0, 4500, -1):
        rows = np.tile(CENTRE, (5000, 1))
        rows[place, 0] += 1e-3
        assert not has_collapsed(rows)


def test_only_a_comparison_by_direction_ignores_lengths():
    rows = CENTRE * np.linspace(1, 2, 50)[:, None]
    assert has_collapsed(rows)
    assert not has_collapsed(rows, cosine=False)
    assert not has_collapsed(np.append(rows, -rows, axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_zeros_have_collapsed(dtype):
    rows = np.zeros((7, 3), dtype)
    assert has_collapsed(rows)
    assert has_collapsed(rows, cosine=False)


def test_queries_and_gallery_are_one_set():
    queries, gallery = np.tile(CENTRE, (4, 1)), np.tile(-CENTRE, (4, 1))
    assert has_collapsed(queries, queries[:2])
    assert not has_collapsed(queries, gallery)


def test_many_ties_are_no_collapse():
    assert not has_collapsed(np.tile([[1.0, 0.0], [0.0, 1.0]], (50, 1)))


@pytest.mark.parametrize(
    ("precision", "inside", "outside"),
    [
        ("float32", 2e-5, 2e-4),
        ("tf32", 1e-3, 7e-3),
        ("float16", 1e-3, 7e-3),
        ("bfloat16", 7e-3, 7e-2),
    ],
)
def test_what_is_within_rounding_depends_on_the_precision(precision, inside, outside):
    assert has_collapsed(CENTRE + inside * unit(NOISE), precision=precision)
    assert not has_collapsed(CENTRE + outside * unit(NOISE), precision=precision)
