"""The ranks that matter, against counting them all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.retrieval_loops import ranks_by_counting

from dmlbench.retrieval.engine.best_ranks import best_ranks

NONE = -np.inf


def padded(rows, width, rng):
    """Return rows of float32 with -inf for what they lack, shuffled."""
    table = np.full((len(rows), width), NONE, np.float32)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return rng.permuted(table, axis=1)


@given(data=st.data(), seed=st.integers(0, 2**32 - 1), whole=st.booleans())
def test_ranks_are_those_counted_one_by_one(data, seed, whole):
    rng = np.random.default_rng(seed)
    levels = data.draw(st.sampled_from([1, 4, 64]))
    tolerance = data.draw(st.sampled_from([0.0, 1e-6, 1 / 64, 0.3]))
    positives, negatives = (
        [rng.integers(-levels, levels + 1, rng.integers(0, 13)) / 64 for _ in range(5)]
        for _ in range(2)
    )
    most = max(map(len, negatives))
    columns = most + max(map(len, positives)) + 1  # a row's positives are -inf among its negatives
    depth = data.draw(st.integers(1, columns + 3))
    kept = columns if whole else min(depth, columns)
    best = [np.sort(row)[::-1][:kept] for row in negatives]
    found = best_ranks(padded(positives, 13, rng), padded(best, kept, rng), tolerance, depth)
    for row in range(5):
        here = found.row == row
        ranks = ranks_by_counting(positives[row], negatives[row], tolerance)
        expected = [(place, rank) for place, rank in enumerate(ranks, 1) if rank <= depth]
        pairs = zip(found.place[here].tolist(), found.rank[here].tolist(), strict=True)
        assert sorted(pairs) == expected


@pytest.mark.parametrize("depth", [1, 3])
def test_a_row_without_positives_has_no_ranks(depth):
    found = best_ranks(np.float32([[NONE]]), np.float32([[0.5, NONE, NONE]]), 0, depth)
    assert len(found.row) == len(found.place) == len(found.rank) == 0


def test_equal_within_the_tolerance_as_in_exact_arithmetic():
    positive = np.float32(0.7)
    tied = np.float32(positive - 1e-6)
    ahead = [float(n) >= float(positive) - 1e-6 for n in (tied, np.nextafter(tied, NONE))]
    for negative, above in zip((tied, np.nextafter(tied, NONE)), ahead, strict=True):
        found = best_ranks(np.array([[positive]]), np.array([[NONE, negative]]), 1e-6, 2)
        assert found.rank.tolist() == [2 if above else 1]
