"""Crops and sizes against torchvision's, and the batch at once against one after the other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision

from dmlbench.data.photos.resampling import cut_regions, resized, resized_regions

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(256, size=(90, 121, 3)).astype(np.uint8)
KINDS = ["bilinear", "bicubic"]


@st.composite
def boxes_inside(draw, height=90, width=121):
    tall, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
    top, left = draw(st.integers(0, height - tall)), draw(st.integers(0, width - wide))
    return top, left, tall, wide


def expected(photo: np.ndarray, box, side: int, kind: str) -> torch.Tensor:
    """Return torchvision's crop ``[C, side, side]``."""
    image = torch.from_numpy(photo).permute(2, 0, 1)
    mode = InterpolationMode(kind)
    return torchvision.resized_crop(image, *box, [side, side], mode, antialias=True)


@pytest.mark.parametrize("kind", KINDS)
@given(box=boxes_inside(), side=st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_one_crop_is_torchvisions(kind, box, side):
    top, left, height, width = box
    found = resized(PHOTO[top : top + height, left : left + width], (side, side), kind)
    difference = expected(PHOTO, box, side, kind).permute(1, 2, 0).numpy().astype(int) - found
    assert np.abs(difference).max() <= 1  # torch rounds its fixed weights by the memory's layout
    if height > 2 and width > 2 and side > 2:
        assert (difference == 0).mean() > 0.98


def test_another_picture_is_left_as_it_is():
    before = PHOTO.copy()
    assert resized(PHOTO, (90, 121), "bicubic") is PHOTO
    read_only = PHOTO[10:50, 20:60]
    read_only.flags.writeable = False
    resized(read_only, (20, 20), "bicubic")[:] = 0
    assert np.array_equal(PHOTO, before)


@pytest.mark.parametrize("kind", KINDS)
def test_grey_pictures_keep_their_one_channel(kind):
    grey = PHOTO[:, :, :1]
    found = resized(grey, (40, 30), kind)
    assert found.shape == (40, 30, 1)
    assert np.abs(found[:, :, 0].astype(int) - resized(PHOTO, (40, 30), kind)[:, :, 0]).max() <= 1


def packed(photos: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the pixels of all photos in a row, where each starts, and their widths."""
    pixels = np.concatenate([photo.reshape(-1, photo.shape[2]) for photo in photos])
    areas = np.array([photo.shape[0] * photo.shape[1] for photo in photos])
    widths = np.array([photo.shape[1] for photo in photos])
    return tuple(torch.from_numpy(some) for some in (pixels, areas.cumsum() - areas, widths))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), side=st.integers(1, 64), channels=st.sampled_from([1, 3]))
@settings(max_examples=40, deadline=None)
def test_a_batch_at_once_is_one_crop_after_the_other(kind, data, side, channels):
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 80), st.integers(1, 80)), min_size=1))
    photos = [RNG.integers(256, size=(*size, channels)).astype(np.uint8) for size in sizes]
    boxes = [data.draw(boxes_inside(*size)) for size in sizes]
    pixels, starts, widths = packed(photos)
    regions = cut_regions(pixels, starts, widths, np.array(boxes))
    for region, photo, (top, left, height, width) in zip(regions, photos, boxes, strict=True):
        cut = photo[top : top + height, left : left + width]
        assert np.array_equal(region[:height, :width].numpy(), cut)
    found = resized_regions(regions, np.array(boxes), (side, side), kind)
    assert found.dtype == torch.uint8
    for image, photo, box in zip(found, photos, boxes, strict=True):
        floats = torch.from_numpy(photo).permute(2, 0, 1).float()
        exact = torchvision.resized_crop(
            floats, *box, [side, side], InterpolationMode(kind), antialias=True
        )
        assert (image - exact.clamp(0, 255)).abs().max() <= 0.502


def test_regions_of_the_size_that_is_wanted_are_only_cut():
    pixels, starts, widths = packed([PHOTO, PHOTO[:50, :70]])
    boxes = np.array([[3, 4, 30, 40], [20, 30, 30, 40]])
    found = resized_regions(cut_regions(pixels, starts, widths, boxes), boxes, (30, 40), "bicubic")
    for image, (top, left, _, _) in zip(found, boxes.tolist(), strict=True):
        assert np.array_equal(image.permute(1, 2, 0), PHOTO[top : top + 30, left : left + 40])
