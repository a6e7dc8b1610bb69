"""Pairs, selections and masked means against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dmlbench import (
    PairMask,
    Pairs,
    PluginError,
    Triplets,
    active_mean,
    as_pair_mask,
    as_triplets,
    masked_mean,
)


def make_pairs(seed: int, batch: int, memory: int, normalized: bool) -> Pairs:
    """Return pairs of a batch with itself, or with a memory that holds only some of its items."""
    generator = torch.Generator().manual_seed(seed)
    anchors = torch.randn(batch, 3, generator=generator, dtype=torch.float64)
    others = torch.randn(memory, 3, generator=generator, dtype=torch.float64)
    if normalized:
        anchors, others = F.normalize(anchors), F.normalize(others)
    labels = torch.randint(3, (batch,), generator=generator)
    if not memory:
        return Pairs(anchors, labels, normalized=normalized)
    inside = batch // 2
    place = torch.full((batch,), -1)
    place[:inside] = torch.arange(inside) + memory
    return Pairs(
        anchors,
        labels,
        torch.cat([others, anchors[:inside]]),
        torch.cat([torch.randint(3, (memory,), generator=generator), labels[:inside]]),
        place,
        normalized=normalized,
    )


every_kind_of_pairs = given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 6),
    memory=st.integers(0, 5),
    normalized=st.booleans(),
)


@settings(deadline=None, max_examples=60)
@every_kind_of_pairs
def test_similarities_distances_and_masks_agree_with_loops(seed, batch, memory, normalized):
    pairs = make_pairs(seed, batch, memory, normalized)
    assert len(pairs) == batch
    for i, anchor in enumerate(pairs.anchors.tolist()):
        for j, reference in enumerate(pairs.references.tolist()):
            own = pairs.self_index[i] == j
            product = sum(a * b for a, b in zip(anchor, reference, strict=True))
            distance = math.dist(anchor, reference)
            same = pairs.labels[i] == pairs.reference_labels[j]
            assert pairs.similarity[i, j].item() == pytest.approx(product, abs=1e-12)
            assert pairs.squared_distance[i, j].item() == pytest.approx(distance**2, abs=1e-12)
            assert pairs.distance[i, j].item() == pytest.approx(max(distance, 1e-6), abs=2e-6)
            assert pairs.positive[i, j].item() == (same and not own)
            assert pairs.negative[i, j].item() == (not same)


@pytest.mark.parametrize("memory", [0, 5])
def test_masks_need_no_list_whose_length_a_gpu_must_be_waited_for(memory):
    class Noting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            called.add(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    called: set[str] = set()
    pairs = make_pairs(0, 6, memory, True)
    with Noting():
        assert pairs.positive.shape == pairs.negative.shape
    assert "ne" in called
    assert not called & {"nonzero", "index", "index_put_", "_local_scalar_dense"}


def test_an_empty_memory_has_no_pairs():
    nothing, nowhere = torch.zeros(0, 3), torch.full((2,), -1)
    pairs = Pairs(torch.eye(3)[:2], torch.tensor([0, 1]), nothing, torch.zeros(0), nowhere)
    assert pairs.positive.shape == pairs.negative.shape == (2, 0)


@settings(deadline=None, max_examples=60)
@every_kind_of_pairs
def test_a_pair_mask_spans_all_its_triplets_and_they_span_it(seed, batch, memory, normalized):
    pairs = make_pairs(seed, batch, memory, normalized)
    mask = PairMask(pairs.positive, pairs.negative)
    triplets = as_triplets(mask)
    found = list(zip(*(x.tolist() for x in vars(triplets).values()), strict=True))
    columns = range(len(pairs.references))
    expected = [
        (a, p, n)
        for a in range(batch)
        for p in columns
        for n in columns
        if mask.positive[a, p] and mask.negative[a, n]
    ]
    assert sorted(found) == expected
    back = as_pair_mask(triplets, pairs)
    for a in range(batch):  # an anchor without positives or negatives is in no triplet
        for p in columns:
            assert back.positive[a, p] == any(t[:2] == (a, p) for t in expected)
            assert back.negative[a, p] == any(t[::2] == (a, p) for t in expected)


def test_a_selection_of_the_right_kind_is_returned_as_it_is():
    pairs = make_pairs(0, 4, 0, True)
    mask = PairMask(pairs.positive, pairs.negative)
    triplets = as_triplets(mask)
    assert as_pair_mask(mask, pairs) is mask
    assert as_triplets(triplets) is triplets


def test_a_pair_in_many_triplets_is_one_pair():
    pairs = Pairs(torch.eye(4), torch.tensor([0, 0, 1, 1]))
    triplets = Triplets(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([2, 3]))
    mask = as_pair_mask(triplets, pairs)
    assert mask.positive.nonzero().tolist() == [[0, 1]]
    assert mask.negative.nonzero().tolist() == [[0, 2], [0, 3]]


def test_what_a_miner_asks_for_first_keeps_its_gradient():
    raw = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    pairs = Pairs(raw * 1.0, torch.tensor([0, 0, 1, 1, 1]), normalized=False)
    with torch.no_grad():
        assert pairs.distance.requires_grad
        assert pairs.similarity.requires_grad
        assert pairs.squared_distance.requires_grad
    pairs.distance.sum().backward()
    again = raw.detach().clone().requires_grad_()
    torch.cdist(again, again, compute_mode="donot_use_mm_for_euclid_dist").sum().backward()
    torch.testing.assert_close(raw.grad, again.grad, rtol=1e-4, atol=1e-4)


def test_everything_is_computed_once():
    pairs = make_pairs(0, 4, 3, True)
    for name in ("similarity", "squared_distance", "distance", "positive", "negative"):
        assert getattr(pairs, name) is getattr(pairs, name)


@pytest.mark.parametrize("normalized", [True, False])
def test_the_gradient_at_distance_zero_is_zero_and_finite(normalized):
    point = torch.tensor([[0.6, 0.8], [0.6, 0.8]], dtype=torch.float64, requires_grad=True)
    pairs = Pairs(point, torch.tensor([0, 0]), normalized=normalized)
    pairs.distance.sum().backward()
    assert torch.equal(point.grad, torch.zeros(2, 2))


def test_squared_distances_are_never_negative():
    same = F.normalize(torch.randn(1, 64, generator=torch.Generator().manual_seed(1)))
    for normalized in (True, False):
        pairs = Pairs(same.repeat(50, 1), torch.zeros(50), normalized=normalized)
        assert (pairs.squared_distance >= 0).all()


def test_references_need_labels_and_places():
    anchors, labels = torch.eye(2), torch.tensor([0, 1])
    for rest in ((labels, None), (None, torch.tensor([0, 1]))):
        with pytest.raises(PluginError, match="reference_labels and self_index"):
            Pairs(anchors, labels, anchors, *rest)


# Means


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), max_size=8))
def test_masked_means_agree_with_loops(items):
    values = torch.tensor([value for value, _ in items], dtype=torch.float64)
    mask = torch.tensor([chosen for _, chosen in items], dtype=torch.bool)
    chosen = [value for value, is_chosen in items if is_chosen]
    active = [value for value in chosen if value > 0]
    assert masked_mean(values, mask).item() == pytest.approx(sum(chosen) / max(len(chosen), 1))
    assert active_mean(values, mask).item() == pytest.approx(sum(active) / max(len(active), 1))


@pytest.mark.parametrize("mean", [masked_mean, active_mean])
def test_the_mean_of_nothing_is_zero_with_a_gradient_of_zero(mean):
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    result = mean(values, torch.tensor([False, False]))
    result.backward()
    assert result.item() == 0
    assert values.grad.tolist() == [0, 0]


@pytest.mark.parametrize("mean", [masked_mean, active_mean])
def test_what_is_masked_may_be_infinite_but_what_counts_is_noticed(mean):
    mask = torch.tensor([True, False])
    values = torch.tensor([2.0, torch.inf], requires_grad=True)
    result = mean(values, mask)
    result.backward()
    assert result.item() == 2
    assert values.grad.tolist() == [1, 0]
    assert mean(torch.tensor([torch.nan, 1.0]), mask).isnan()


def test_an_active_mean_counts_only_what_is_above_zero():
    values = torch.tensor([3.0, -1.0, 0.0, 1.0], requires_grad=True)
    result = active_mean(values, torch.ones(4, dtype=torch.bool))
    result.backward()
    assert result.item() == 2
    assert values.grad.tolist() == [0.5, 0, 0, 0.5]
