"""Stored photos as the images of a split, against slices of what decoding gives."""

import numpy as np
import pytest
import torch
from support.stored_photos import encoded, some_photos, table
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision

from dmlbench.data.photos.decoding import PhotoFormat, decode
from dmlbench.data.photos.encoded import sources
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.store import photo_store

FORMAT = PhotoFormat(16, 20)
GREY = [encoded(photo) for photo in some_photos(2, channels=1)]
ROWS = [*(encoded(photo) for photo in some_photos(9)), *GREY]
DECODED = [np.array(decode(row["bytes"], "x", FORMAT).pixels) for row in ROWS]
WHOLE = [torch.from_numpy(pixels).permute(2, 0, 1).expand(3, -1, -1) for pixels in DECODED]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> StoredPhotos:
    images = sources({"train": table(ROWS, [0] * len(ROWS))})
    store, places = photo_store(images, FORMAT, tmp_path_factory.mktemp("cache"), lambda *_: None)
    return StoredPhotos(store, places, 16)


def test_they_look_like_the_array_of_their_middle_squares(pictures):
    squares = pictures.centre()
    assert pictures.shape == squares.shape == (11, 3, 16, 16)
    assert pictures.dtype == squares.dtype == np.uint8
    assert pictures.ndim == squares.ndim
    assert len(pictures) == len(squares)
    for square, whole in zip(squares, WHOLE, strict=True):
        assert np.array_equal(square, torchvision.center_crop(whole, [16, 16]))


@pytest.mark.parametrize("index", [np.array([3, 3, 0, 10]), slice(2, 8, 2), np.arange(11) % 2 == 0])
def test_a_part_of_them_copies_no_pixel(pictures, index):
    part = pictures[index]
    assert part.store is pictures.store
    assert np.array_equal(part.centre(), pictures.centre()[index])
    assert np.array_equal(part.centre(), pictures.centre(index))
    assert np.array_equal(part.digests, pictures.digests[index])
    assert np.array_equal(part.sizes, pictures.sizes[index])
    assert part.shape == (len(pictures.places[index]), 3, 16, 16)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_crops_are_torchvisions(pictures, kind):
    index = np.array([4, 0, 4, 10])
    boxes = np.array([[0, 0, 20, 20], [1, 2, 9, 17], [3, 1, 16, 16], [2, 2, 4, 3]])
    found = pictures.crops(index, boxes, kind)
    for crop, place, box in zip(found, index, boxes.tolist(), strict=True):
        mode = InterpolationMode(kind)
        expected = torchvision.resized_crop(WHOLE[place].clone(), *box, [16, 16], mode)
        assert np.abs(crop.astype(int) - expected.numpy()).max() <= 1


def test_grey_ones_alone_have_one_channel(tmp_path):
    images = sources({"train": table(GREY)})
    pictures = StoredPhotos(*photo_store(images, FORMAT, tmp_path, lambda *_: None), 16)
    assert pictures.centre().shape == pictures.shape == (2, 1, 16, 16)
    boxes = np.array([[0, 0, 20, 20]])
    assert pictures.crops(np.array([1]), boxes).shape == (1, 1, 16, 16)
