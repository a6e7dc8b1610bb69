"""What is cut from pictures: inside them, and as torchvision draws it."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as torchvision

from dmlbench.data.photos.crops import RESIZED_DRAWS, centre_boxes, random_boxes, resized_boxes

RNG = np.random.default_rng(0)
some_sizes = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=8)


def inside(boxes: np.ndarray, sizes: np.ndarray) -> bool:
    ends = boxes[:, :2] + boxes[:, 2:]
    return bool((boxes[:, :2] >= 0).all() and (boxes[:, 2:] > 0).all() and (ends <= sizes).all())


@settings(deadline=None)
@given(some_sizes, st.integers(1, 60))
def test_the_middle_is_where_torchvision_finds_it(sizes, side):
    sizes = np.array(sizes) + side
    boxes = centre_boxes(sizes, (side, side))
    assert inside(boxes, sizes)
    for (top, left, height, width), (tall, wide) in zip(
        boxes.tolist(), sizes.tolist(), strict=True
    ):
        picture = torch.arange(tall * wide).reshape(1, tall, wide)
        cut = picture[:, top : top + height, left : left + width]
        assert torch.equal(cut, torchvision.center_crop(picture, [side, side]))


@given(some_sizes, st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_random_boxes_lie_inside(sizes, side, seed):
    sizes = np.array(sizes) + side - 1
    boxes = random_boxes(sizes, (side, side), np.random.default_rng(seed).random((len(sizes), 2)))
    assert inside(boxes, sizes)
    assert (boxes[:, 2:] == side).all()


def test_random_boxes_lie_everywhere_alike():
    sizes = np.tile([12, 11], (9000, 1))
    boxes = random_boxes(sizes, (10, 10), RNG.random((9000, 2)))
    found, counts = np.unique(boxes[:, :2], axis=0, return_counts=True)
    assert found.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    assert counts.min() > 1350
    extreme = np.nextafter(1, 0)
    assert random_boxes(sizes[:1], (10, 10), np.full((1, 2), extreme)).tolist() == [[2, 1, 10, 10]]


def by_plain_loops(size, scale, ratio, draws):
    """Return the box of one picture by torchvision's rule, one attempt after the other."""
    tall, wide = size
    for attempt in range(10):
        area = tall * wide * (scale + (1 - scale) * draws[2 * attempt])
        shape = math.exp(-math.log(ratio) + 2 * math.log(ratio) * draws[2 * attempt + 1])
        width, height = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < width <= wide and 0 < height <= tall:
            top = math.floor(draws[-2] * (tall - height + 1))
            left = math.floor(draws[-1] * (wide - width + 1))
            return [top, left, height, width]
    if wide / tall < 1 / ratio:
        width, height = wide, round(wide * ratio)
    elif wide / tall > ratio:
        width, height = round(tall * ratio), tall
    else:
        width, height = wide, tall
    return [(tall - height) // 2, (wide - width) // 2, height, width]


scales, ratios = st.floats(0.01, 1.0), st.floats(1.0, 3.0)


@given(some_sizes, scales, ratios, st.integers(0, 2**32 - 1))
@settings(max_examples=200)
def test_resized_boxes_follow_the_rule(sizes, scale, ratio, seed):
    sizes = np.array(sizes)
    draws = np.random.default_rng(seed).random((len(sizes), RESIZED_DRAWS))
    boxes = resized_boxes(sizes, scale, ratio, draws)
    assert inside(boxes, sizes)
    expected = [
        by_plain_loops(size, scale, ratio, row)
        for size, row in zip(sizes.tolist(), draws.tolist(), strict=True)
    ]
    assert boxes.tolist() == expected


@given(st.integers(50, 400), st.integers(50, 400), scales, ratios, st.integers(0, 2**32 - 1))
def test_area_and_shape_are_within_what_was_asked_for(height, width, scale, ratio, seed):
    sizes = np.tile([height, width], (20, 1))
    draws = np.random.default_rng(seed).random((20, RESIZED_DRAWS))
    boxes = resized_boxes(sizes, scale, ratio, draws)
    tall, wide = boxes[:, 2].astype(float), boxes[:, 3].astype(float)
    assert ((wide + 0.5) / (tall - 0.5) >= 1 / ratio).all()
    assert ((wide - 0.5) / (tall + 0.5) <= ratio).all()
    if scale * height * width > 100 and max(height, width) < ratio * min(height, width):
        assert ((tall + 0.5) * (wide + 0.5) >= scale * height * width).all()


def test_areas_and_shapes_are_spread_as_torchvision_spreads_them():
    picture = torch.empty(3, 256, 341)
    torch.manual_seed(0)
    theirs = np.array(
        [RandomResizedCrop.get_params(picture, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(6000)]
    )
    ours = resized_boxes(
        np.tile([256, 341], (6000, 1)), 0.08, 4 / 3, RNG.random((6000, RESIZED_DRAWS))
    )
    for column in range(4):
        one, two = np.sort(ours[:, column]), np.sort(theirs[:, column])
        places = np.union1d(one, two)
        gaps = np.searchsorted(one, places, "right") - np.searchsorted(two, places, "right")
        assert np.abs(gaps).max() / 6000 < 0.0355  # Kolmogorov-Smirnov at the level 0.001
