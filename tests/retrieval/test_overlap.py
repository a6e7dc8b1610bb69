"""Queries that are gallery items themselves are seen, and nothing else is taken for one."""

import warnings

import numpy as np
import pytest

from dmlbench import retrieval

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(10), 4)
ITEMS = (RNG.normal(size=(10, 6))[LABELS] + RNG.normal(size=(40, 6))).astype(np.float32)


def told(*sets, **arguments) -> str:
    """Return the warning of an evaluation, or nothing."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        retrieval.evaluate(*sets, **arguments)
    return " ".join(str(one.message) for one in found)


def test_one_set_given_as_queries_and_gallery_is_seen():
    assert "40 of 40 queries are in the gallery" in told(ITEMS, LABELS, ITEMS, LABELS)
    order = RNG.permutation(40)
    copies = told(ITEMS, LABELS, ITEMS[order].astype(float), LABELS[order])
    assert "40 of 40 queries" in copies
    assert "self_index" in copies


def test_the_queries_that_are_in_the_gallery_are_counted():
    gallery, labels = ITEMS[7:].copy(), LABELS[7:].copy()
    labels[0] += 1  # another class
    gallery[1] = np.nextafter(gallery[1], 9)  # not quite the same
    assert "11 of 20 queries" in told(ITEMS[:20], LABELS[:20], gallery, labels)
    assert "1 of 1 queries" in told(0 * ITEMS[:1], [1], -0.0 * ITEMS[:1], [1])


def test_who_says_what_is_one_item_is_not_warned():
    assert not told(ITEMS, LABELS)
    assert not told(ITEMS, LABELS, ITEMS, LABELS, self_index=np.arange(40))
    assert not told(ITEMS, LABELS, ITEMS, LABELS, self_index=np.full(40, -1))
    assert not told(ITEMS, LABELS, ITEMS, LABELS, leave_out=(np.arange(40), np.arange(40)))


@pytest.mark.parametrize("levels", [1, 2])
def test_vectors_that_many_items_share_are_no_sign_of_one_item(levels):
    few = RNG.integers(levels, size=(levels, 6))[np.arange(40) % levels]
    assert not told(few, LABELS, few, LABELS)


def test_unlike_sets_are_not_warned_of():
    assert not told(ITEMS[::2], LABELS[::2], ITEMS[1::2], LABELS[1::2])


def test_two_vectors_with_one_key_are_not_taken_for_one(monkeypatch):
    monkeypatch.setattr("dmlbench.retrieval.overlap._keys", lambda rows: np.arange(len(rows)))
    moved = ITEMS.copy()
    moved[:30, 0] += 1
    assert "10 of 40 queries" in told(ITEMS, LABELS, moved, LABELS)
