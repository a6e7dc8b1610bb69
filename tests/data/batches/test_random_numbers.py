"""Random numbers of images: who, when and beside whom makes no difference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.data.batches.random_numbers import Purpose, RandomNumbers, repeats

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
ITEMS = np.arange(4000)
NONE = np.zeros(4000, dtype=np.int64)


def hashed(value: int) -> int:
    """Return SplitMix64's finaliser with Python's whole numbers."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def mixed(state: int, word: int) -> int:
    return hashed((state + GOLDEN & MASK) ^ hashed(word + GOLDEN & MASK))


def numbers(key=(0, 3, 1), items=ITEMS, before=NONE, view=0, change=Purpose.CROP, count=1):
    return RandomNumbers.of(key, items, before, view).uniform(change, count)


def test_the_hash_is_splitmix64():
    # The first outputs of its reference implementation with the seed 1234567.
    state, expected = 1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [hashed(state + (k + 1) * GOLDEN & MASK) for k in range(3)] == expected


@given(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 10**6)),
    st.integers(0, 10**6),
    st.integers(0, 1000),
    st.integers(0, 3),
    st.sampled_from(Purpose),
)
@settings(max_examples=50)
def test_numbers_are_those_of_plain_arithmetic(key, item, before, view, change):
    state = 0
    for word in (*key, item, before, view):
        state = mixed(state, word)
    state = mixed(state, int(change))
    expected = [(hashed(state + (k + 1) * GOLDEN & MASK) >> 11) / 2**53 for k in range(5)]
    found = numbers(key, np.array([item]), np.array([before]), view, change, 5)
    assert found.tolist() == [expected]


@given(st.permutations(range(30)), st.integers(1, 7))
def test_they_do_not_depend_on_the_order_or_size_of_batches(order, size):
    items = np.array(order)
    whole = numbers(items=np.arange(30), before=np.zeros(30, int), count=4)
    for start in range(0, 30, size):
        some = items[start : start + size]
        assert np.array_equal(numbers(items=some, before=0 * some, count=4), whole[some])


def test_whatever_differs_makes_other_numbers():
    found = [
        numbers(),
        numbers(key=(1, 3, 1)),
        numbers(key=(0, 4, 1)),
        numbers(key=(0, 3, 2)),
        numbers(key=(3, 0, 1)),
        numbers(before=NONE + 1),
        numbers(view=1),
        *(numbers(change=change) for change in Purpose if change != Purpose.CROP),
    ]
    for place, one in enumerate(found):
        assert len(np.unique(one)) == len(one)
        for other in found[:place]:
            assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.08


def test_more_numbers_begin_with_the_fewer():
    assert np.array_equal(numbers(count=9)[:, :4], numbers(count=4))


def test_they_are_uniform_and_independent():
    drawn = numbers(count=20)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, bins=64, range=(0, 1))[0]
    expected = drawn.size / 64
    assert ((counts - expected) ** 2 / expected).sum() < 64 + 5 * np.sqrt(2 * 64)
    correlations = np.corrcoef(drawn.T)
    assert np.abs(correlations - np.eye(20)).max() < 5 / np.sqrt(4000)
    successive = np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]
    assert abs(successive) < 5 / np.sqrt(4000)


def test_each_image_has_the_numbers_of_its_own_view():
    one, two = (RandomNumbers.of((0, 0, 0), ITEMS[:5], NONE[:5], view) for view in (0, 1))
    views = np.arange(2).repeat(5)
    found = RandomNumbers.of((0, 0, 0), np.tile(ITEMS[:5], 2), np.tile(NONE[:5], 2), views)
    both = found.uniform(Purpose.FLIP, 2)
    expected = [one.uniform(Purpose.FLIP, 2), two.uniform(Purpose.FLIP, 2)]
    assert np.array_equal(both, np.concatenate(expected))


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), max_size=6))
def test_repeats_count_how_often_an_item_came_before(batches):
    seen: dict[int, int] = {}
    expected = []
    for batch in batches:
        expected.append([])
        for item in batch:
            expected[-1].append(seen.get(item, 0))
            seen[item] = seen.get(item, 0) + 1
    found = repeats([np.array(batch) for batch in batches])
    assert [some.tolist() for some in found] == expected


@pytest.mark.filterwarnings("error")
def test_wrapping_round_is_silent():
    numbers(key=(2**32 - 1, 2**31, 2**31))
