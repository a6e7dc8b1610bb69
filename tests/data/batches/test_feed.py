"""Training batches: the same from any number of threads, each image with changes of its own."""

from contextlib import closing

import numpy as np
import pytest
import torch
from support.stored_photos import encoded, some_photos, table
from torchvision.transforms.v2 import functional as torchvision

from dmlbench.data.batches.augmentation import augment, crop_boxes
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.data.batches.random_numbers import RandomNumbers
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.photos.encoded import sources
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.store import photo_store
from dmlbench.schemas.protocol import Augmentation

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
ARRAYS = RNG.integers(256, size=(9, 3, 12, 12)).astype(np.uint8)
BATCHES = [RNG.integers(9, size=6) for _ in range(7)]
COLOURS = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.1, "hue": 0.1}
RICH = Augmentation(crop="random-resized", shift=0.1, flip=True, **COLOURS)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> StoredPhotos:
    images = sources({"train": table([encoded(p) for p in some_photos(9)], [0] * 9)})
    folder = tmp_path_factory.mktemp("cache")
    return StoredPhotos(*photo_store(images, PhotoFormat(14, 20), folder, lambda *_: None), 14)


def batches(inputs, choices: Augmentation = RICH, epoch: int = 1, made=BATCHES, **changes):
    feed = Feed(to_device_inputs(inputs, CPU), choices, "bilinear", **({"key": (0, 3)} | changes))
    return [batch.clone() for batch in feed.batches(epoch, made)]


@pytest.mark.parametrize("views", [1, 2])
def test_threads_make_no_difference(pictures, views):
    for inputs in (ARRAYS, pictures):
        expected = batches(inputs, views=views)
        assert all(len(batch) == 6 * views for batch in expected)
        for threads in (1, 3):
            assert all(map(torch.equal, batches(inputs, views=views, threads=threads), expected))


def test_nor_does_the_size_of_batches(pictures):
    whole = torch.cat(batches(pictures))
    other = np.split(np.concatenate(BATCHES), [1, 11, 30])
    assert torch.equal(torch.cat(batches(pictures, made=other)), whole)


@pytest.mark.parametrize("threads", [0, 2])
def test_chunks_are_parts_of_the_batch_and_the_same_in_each_pass(pictures, threads):
    for inputs in (ARRAYS, pictures):
        expected = batches(inputs, views=2)
        feed = Feed(
            to_device_inputs(inputs, CPU), RICH, "bilinear", (0, 3), 2, threads=threads, chunk=5
        )
        made = [part.clone() for part in feed.batches(1, BATCHES, 1, passes=2)]
        assert [len(part) for part in made] == [5, 5, 2] * 12  # two passes over six batches of 12
        for step, whole in enumerate(expected[1:]):
            parts = made[6 * step : 6 * step + 6]
            assert torch.equal(torch.cat(parts[:3]), whole)
            assert torch.equal(torch.cat(parts[3:]), whole)
        feed = Feed(to_device_inputs(inputs, CPU), RICH, "bilinear", (0, 3), 2, chunk=12)
        assert all(map(torch.equal, feed.batches(1, BATCHES, passes=2), expected))


def test_an_item_differs_each_time_it_comes_and_in_each_view(pictures):
    same = [np.array([4, 4, 4]), np.array([4, 4])]
    for inputs in (ARRAYS, pictures):
        images = torch.cat(batches(inputs, made=same, views=2))
        assert len({image.numpy().tobytes() for image in images}) == 10
        for changes in ({"epoch": 2}, {"key": (1, 3)}, {"key": (0, 4)}):
            others = torch.cat(batches(inputs, made=same, views=2, **changes))
            assert all(not torch.equal(*pair) for pair in zip(images, others, strict=True))


def test_the_first_view_does_not_depend_on_there_being_a_second(pictures):
    for one, two in zip(batches(pictures), batches(pictures, views=2), strict=True):
        assert torch.equal(one, two[:6])


def test_a_batch_is_cut_and_augmented_by_the_draws_of_its_items(pictures):
    items, before = np.array([3, 8, 3]), np.array([0, 0, 1])
    (found,) = batches(pictures, made=[items])
    draws = RandomNumbers.of((0, 3, 1), items, before, 0)
    boxes = crop_boxes(pictures.sizes[items], (14, 14), RICH, draws)
    cut = []
    for item, box in zip(items, boxes.tolist(), strict=True):
        photo = torch.from_numpy(np.array(pictures.store.photo(pictures.places[item])))
        cut.append(torchvision.resized_crop(photo.permute(2, 0, 1), *box, [14, 14]))
    expected = augment(torch.stack(cut), RICH, draws)
    assert (found.int() - expected).abs().max() <= 3  # one level before the colours are stretched


def test_plain_images_come_as_they_are(pictures):
    plain = Augmentation(shift=0, flip=False)
    for batch, index in zip(batches(pictures, plain), BATCHES, strict=True):
        assert np.array_equal(batch, pictures.centre(index))
    for batch, index in zip(batches(ARRAYS, plain), BATCHES, strict=True):
        assert np.array_equal(batch, ARRAYS[index])
    anywhere = Augmentation(crop="random", shift=0, flip=False)  # an array has one place only
    for batch, index in zip(batches(ARRAYS, anywhere), BATCHES, strict=True):
        assert np.array_equal(batch, ARRAYS[index])


def test_what_the_items_are_is_left_alone(pictures):
    large = RNG.integers(256, size=(9, 3, 64, 64)).astype(np.uint8)
    before, kept = large.copy(), pictures.store.pixels.copy()
    for inputs in (large, pictures):
        batches(inputs)
        batches(inputs, Augmentation(shift=0, flip=True))
    assert np.array_equal(large, before)
    assert np.array_equal(pictures.store.pixels, kept)


def test_vectors_are_repeated_and_not_changed():
    vectors = RNG.random((9, 4), dtype=np.float32)
    for batch, index in zip(batches(vectors, views=2), BATCHES, strict=True):
        assert np.array_equal(batch, vectors[np.tile(index, 2)])


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_reaches_the_step_whose_batch_it_spoils(threads):
    feed = Feed(to_device_inputs(ARRAYS, CPU), RICH, "bilinear", (0, 3), threads=threads)
    made = feed.batches(1, [BATCHES[0], np.array([0, 99])])
    with closing(made):
        assert len(next(made)) == 6
        with pytest.raises(IndexError):
            next(made)
