"""The batches of an epoch: the same for every loss, and as the sampler has to make them."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from support.small_training import ITEMS, LABELS, VECTORS, Noting, OwnWeight, Sum, Uniform, fit

from dmlbench import Sampler, TrialError


def test_every_loss_gets_the_same_images_at_the_same_seed():
    plain, _ = fit(Sum(), seed=3)
    torch.manual_seed(1)
    other, _ = fit(OwnWeight(), seed=3)
    assert len(plain.inputs) == 6
    assert all(map(torch.equal, plain.inputs, other.inputs))
    elsewhere, _ = fit(Sum(), seed=4)
    assert not any(map(torch.equal, plain.inputs, elsewhere.inputs))


def test_epochs_differ_and_images_are_augmented_anew():
    model, _ = fit(Sum(), augmentation__shift=0.25, augmentation__flip=True)
    assert len({inputs.numpy().tobytes() for inputs in model.inputs}) == 6


def test_two_views_are_two_augmentations_of_the_same_images():
    loss = Noting()
    loss.views = 2
    plain, _ = fit(Sum(), augmentation__shift=0)
    model, _ = fit(loss, augmentation__shift=0)
    for inputs, once, pairs in zip(model.inputs, plain.inputs, loss.given, strict=True):
        assert torch.equal(inputs[:8], once)
        assert torch.equal(inputs[8:], once)
        assert torch.equal(pairs.labels[:8], pairs.labels[8:])
    changed, _ = fit(loss, augmentation__shift=0.25)
    assert not torch.equal(changed.inputs[0][:8], changed.inputs[0][8:])


def test_labels_are_renumbered_for_losses_with_a_proxy_a_class():
    loss = Noting()
    model, _ = fit(loss, augmentation__shift=0)
    order = {3: 0, 5: 1, 7: 2, 9: 3}
    by_image = {
        image.tobytes(): order[label] for image, label in zip(ITEMS.inputs, LABELS, strict=True)
    }
    for inputs, pairs in zip(model.inputs, loss.given, strict=True):
        assert pairs.labels.tolist() == [by_image[image.tobytes()] for image in inputs.numpy()]


def test_vectors_reach_the_network_as_they_are():
    model, _ = fit(Sum(), items=VECTORS)
    rows = {row.tobytes() for row in VECTORS.inputs}
    assert all(row.tobytes() in rows for inputs in model.inputs for row in inputs.numpy())


class Making(Sampler):
    """Makes batches of the given sizes."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def batches(self, labels, *, batch_size, steps, rng):
        for size in self.sizes:
            yield np.zeros(size, dtype=np.int64)


@pytest.mark.parametrize("sizes", [(), (8, 8), (8, 8, 8, 8), (8, 7, 8), (8, 8, 9)])
def test_a_sampler_must_make_the_batches_that_the_protocol_wants(sizes):
    with pytest.raises(TrialError, match=r"Making made .* batches .* not 3 of 8"):
        fit(Sum(), sampler=Making(*sizes))


class Repeating(Sampler):
    """Makes one batch again and again."""

    def __init__(self, batch: np.ndarray) -> None:
        self.batch = batch

    def batches(self, labels, *, batch_size, steps, rng):
        return iter([self.batch] * steps)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (np.arange(8) - 1, "Repeating made batches of items -1 to 6; they are .* from 0 to 23"),
        (np.arange(8) + 17, "Repeating made batches of items 17 to 24"),
        (np.arange(8.0), "Repeating made batches of float64, not of integers"),
        (np.ones(8, dtype=bool), "Repeating made batches of bool, not of integers"),
        (np.zeros((8, 1), dtype=int), r"Repeating made 3 batches of \[8, 1\] items, not 3 of 8"),
    ],
)
def test_a_sampler_must_name_items_that_are_there(batch, reason):
    with pytest.raises(TrialError, match=reason):
        fit(Sum(), sampler=Repeating(batch))


@pytest.mark.parametrize("kind", [np.int32, np.uint64, list])
def test_a_batch_may_be_of_any_integers(kind):
    plain, _ = fit(Sum(), sampler=Repeating(np.arange(8)))
    batch = list(range(8)) if kind is list else np.arange(8).astype(kind)
    model, _ = fit(Sum(), sampler=Repeating(batch))
    assert all(map(torch.equal, model.inputs, plain.inputs))


def test_an_endless_sampler_is_stopped():
    class Endless(Uniform):
        taken: ClassVar[int] = 0

        def batches(self, labels, *, batch_size, steps, rng):
            while True:
                Endless.taken += 1
                yield rng.choice(len(labels), batch_size)

    with pytest.raises(TrialError, match="4 batches"):
        fit(Sum(), sampler=Endless())
    assert Endless.taken == 4
