"""Magnet loss against its formula in plain loops, and the clusters that it finds."""

import numpy as np
import pytest
import torch
from support.loss_loops import LABELS, SIZES, Batch, C, assert_same, make_batch, mean, unit
from torch import Tensor

from dmlbench import Pairs, PluginError
from dmlbench_losses.magnet import Magnet


def by_loops(loss: Magnet, batch: Batch, items: Tensor, labels: Tensor) -> Tensor:
    """Compute the loss from the means alone; the variance is that of all items."""
    means = {
        c: [loss.means[c, k] for k in range(loss.means.shape[1]) if loss.offset[c, k] > -torch.inf]
        for c in range(C)
    }
    nearest = [
        min(_squared(x, m) for m in means[int(y)]) for x, y in zip(items, labels, strict=True)
    ]
    variance = sum(nearest) / (len(items) - 1)
    terms = []
    for i, label in enumerate(LABELS.tolist()):
        own = min(_squared(batch.anchor(i), mean) for mean in means[label])
        others = [
            torch.exp(-_squared(batch.anchor(i), mean) / (2 * variance))
            for c in range(C)
            for mean in means[c]
            if c != label
        ]
        numerator = torch.exp(-own / (2 * variance) - loss.alpha)
        terms.append(torch.clamp(-torch.log(numerator / sum(others)), min=0))
    return mean(terms)


def _squared(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().sum()


def training_items() -> tuple[Tensor, Tensor]:
    """Return 62 items of the 6 classes; class 5 has two of them."""
    _, embeddings = unit(62, SIZES["embedding_dim"], seed=6)
    return embeddings.detach(), torch.cat([torch.arange(60) % 5, torch.tensor([5, 5])])


@pytest.mark.parametrize("settings", [{}, {"clusters": 1}, {"clusters": 5, "alpha": 0.1}])
def test_value_and_gradient_agree_with_plain_loops(settings):
    loss = Magnet(**SIZES, **settings).double()
    batch, items = make_batch("batch"), training_items()
    loss.start_epoch(*items)
    expected = by_loops(loss, batch, *items)
    assert_same(loss(batch.pairs, None), expected, batch.raw, tolerance=1e-6)
    # faiss measures the variance in single precision; apart from that they are the same.
    found = float(loss.variance)
    loss.variance.fill_(sum(_nearest(loss, *items)) / (len(items[0]) - 1))
    assert found == pytest.approx(float(loss.variance), rel=1e-5)
    assert_same(loss(batch.pairs, None), expected, batch.raw, tolerance=1e-9)


def _nearest(loss: Magnet, items: Tensor, labels: Tensor) -> list[Tensor]:
    found = [
        [
            _squared(x, loss.means[y, k])
            for k in range(loss.means.shape[1])
            if loss.offset[y, k] > -torch.inf
        ]
        for x, y in zip(items, labels.tolist(), strict=True)
    ]
    return [min(distances) for distances in found]


def blobs() -> tuple[Tensor, Tensor, Tensor]:
    """Return items, their classes, and their places; each class is at two distant places."""
    generator = torch.Generator().manual_seed(2)
    places = torch.arange(40) % 4
    items = 10 * torch.eye(4)[places] + 0.1 * torch.randn(40, 4, generator=generator)
    return items, places // 2, places


def test_clusters_are_where_a_class_is():
    items, labels, places = blobs()
    loss = Magnet(num_classes=2, embedding_dim=4, clusters=2)
    loss.start_epoch(items, labels)
    expected = torch.stack([items[places == place].mean(0) for place in range(4)])
    found = loss.means.flatten(0, 1)
    order = torch.cdist(expected, found).argmin(1)
    torch.testing.assert_close(found[order], expected)
    spread = sum(_squared(x, expected[place]) for x, place in zip(items, places, strict=True))
    assert float(loss.variance) == pytest.approx(float(spread) / 39, rel=1e-4)


def test_an_item_at_its_own_cluster_and_far_from_others_costs_nothing():
    items, labels, _ = blobs()
    loss = Magnet(num_classes=2, embedding_dim=4, clusters=2)
    loss.start_epoch(items, labels)
    anchors = items.clone().requires_grad_()
    value = loss(Pairs(anchors, labels, normalized=False), None)
    value.backward()
    assert value == 0
    assert not anchors.grad.any()
    assert loss(Pairs(items, 1 - labels, normalized=False), None) > 100


def test_before_the_first_epoch_it_says_what_is_missing():
    with pytest.raises(PluginError, match="call start_epoch"):
        Magnet(**SIZES)(make_batch("batch").pairs, None)


def test_the_same_items_give_the_same_clusters_and_disturb_no_generator():
    items = training_items()
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = Magnet(**SIZES), Magnet(**SIZES)
    first.start_epoch(*items)
    second.start_epoch(*(part.flip(0) for part in items))
    second.start_epoch(*items)
    assert all(torch.equal(*both) for both in zip(first.buffers(), second.buffers(), strict=True))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_small_classes_have_fewer_clusters_and_absent_ones_none():
    labels = torch.tensor([0, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3])
    loss = Magnet(num_classes=5, embedding_dim=3, clusters=3)
    loss.start_epoch(torch.randn(15, 3, generator=torch.Generator().manual_seed(1)), labels)
    assert (loss.offset > -torch.inf).sum(1).tolist() == [1, 1, 2, 3, 0]
    anchors = torch.randn(4, 3, requires_grad=True)
    value = loss(Pairs(anchors, torch.arange(4), normalized=False), None)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(anchors.grad).all()


@pytest.mark.parametrize("items", [torch.ones(12, 3), torch.zeros(12, 3)])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_identical_items_have_finite_values_and_gradients(items, num_classes):
    loss = Magnet(num_classes=num_classes, embedding_dim=3)
    labels = torch.arange(12) % num_classes
    loss.start_epoch(items, labels)
    anchors = items.clone().requires_grad_()
    value = loss(Pairs(anchors, labels, normalized=False), None)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(anchors.grad).all()
    if num_classes == 1:
        assert value == 0
        assert not anchors.grad.any()


def test_diverged_training_items_make_the_loss_nan():
    items, labels = training_items()
    items[3, 1] = torch.nan
    loss = Magnet(**SIZES).double()
    loss.start_epoch(items, labels)
    assert torch.isnan(loss(make_batch("batch").pairs, None))


def test_its_clusters_load_again_and_count_as_the_first_epoch():
    loss, other = Magnet(**SIZES).double(), Magnet(**SIZES).double()
    loss.start_epoch(*training_items())
    other.load_state_dict(loss.state_dict())
    pairs = make_batch("batch").pairs
    assert loss(pairs, None).item() == other(pairs, None).item()
    assert not list(loss.parameters())
