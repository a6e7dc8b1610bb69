"""Shifts and flips against plain loops, and which crop is cut."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as torchvision

from dmlbench.data.batches.augmentation import augment, crop_boxes
from dmlbench.data.batches.random_numbers import Purpose, RandomNumbers
from dmlbench.data.photos.crops import RESIZED_DRAWS, random_boxes, resized_boxes
from dmlbench.schemas.protocol import Augmentation

IMAGES = torch.randint(
    256, (40, 3, 6, 10), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
LARGE = torch.randint(
    256, (40, 3, 50, 60), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


def draws(seed: int = 0, images: int = 40) -> RandomNumbers:
    return RandomNumbers.of((seed, 3, 1), np.arange(images), np.zeros(images, dtype=np.int64), 0)


def choices(**changes) -> Augmentation:
    return Augmentation(**({"shift": 0, "flip": False} | changes))


def shifted(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Return `image` ``[C, H, W]`` moved by whole pixels, its edge repeated, by plain loops."""
    _, height, width = image.shape
    moved = torch.empty_like(image)
    for y in range(height):
        for x in range(width):
            source_y = min(max(y + down, 0), height - 1)
            source_x = min(max(x + right, 0), width - 1)
            moved[:, y, x] = image[:, source_y, source_x]
    return moved


def changes_of(original: torch.Tensor, changed: torch.Tensor, most: tuple[int, int]) -> list:
    """Return which moves and mirrorings turn one image into the other."""
    found = []
    for down in range(-most[0], most[0] + 1):
        for right in range(-most[1], most[1] + 1):
            moved = shifted(original, down, right)
            found += [(down, right, False)] if torch.equal(moved, changed) else []
            found += [(down, right, True)] if torch.equal(moved.flip(2), changed) else []
    return found


@pytest.mark.parametrize(
    ("shift", "flip", "most"),
    [(0.2, False, (1, 2)), (0.0, True, (0, 0)), (0.2, True, (1, 2)), (0.5, False, (3, 5))],
)
def test_each_image_is_moved_and_mirrored_by_itself(shift, flip, most):
    changed = augment(IMAGES, choices(shift=shift, flip=flip), draws())
    assert changed.dtype == torch.uint8
    drawn = [changes_of(*pair, most) for pair in zip(IMAGES, changed, strict=True)]
    assert all(len(found) == 1 for found in drawn)
    assert len({found[0] for found in drawn}) > 1
    assert flip == any(found[0][2] for found in drawn)


def test_every_move_is_drawn_and_none_is_farther():
    images = IMAGES[:1].repeat(2000, 1, 1, 1)
    changed = augment(images, choices(shift=0.2, flip=True), draws(images=2000))
    kinds = {}
    for down in (-1, 0, 1):
        for right in (-2, -1, 0, 1, 2):
            for image in (
                moved := shifted(IMAGES[0], down, right),
                moved.flip(2),
            ):
                kinds[len(kinds)] = (changed == image).flatten(1).all(1).sum().item()
    assert sum(kinds.values()) == 2000
    assert min(kinds.values()) > 2000 / 30 / 2


@pytest.mark.parametrize("images", [IMAGES, LARGE, LARGE.to(memory_format=torch.channels_last)])
def test_mirrored_images_are_torchvisions(images):
    changed = augment(images.clone(), choices(flip=True), draws())
    mirrored = draws().uniform(Purpose.FLIP, 1)[:, 0] < 0.5
    assert 10 < mirrored.sum() < 30
    for image, given, chosen in zip(changed, images, mirrored, strict=True):
        assert torch.equal(image, torchvision.horizontal_flip(given) if chosen else given)


def test_nothing_asked_for_is_nothing_changed():
    assert torch.equal(augment(IMAGES, choices(), draws()), IMAGES)


def test_changes_belong_to_the_image_and_the_seed_alone():
    most = choices(shift=0.3, flip=True, brightness=0.3)
    first = augment(IMAGES, most, draws(1))
    torch.manual_seed(99)
    assert torch.equal(augment(IMAGES, most, draws(1)), first)
    assert not torch.equal(augment(IMAGES, most, draws(2)), first)
    order = np.random.default_rng(0).permutation(40)
    again = augment(IMAGES[order], most, RandomNumbers(draws(1).states[order]))
    assert torch.equal(again, first[order])


def test_one_kind_of_change_does_not_stir_another():
    mirrored = augment(IMAGES, choices(flip=True), draws())
    moved = augment(IMAGES, choices(shift=0.2, flip=True), draws())
    for image, other, given in zip(mirrored, moved, IMAGES, strict=True):
        ((_, _, flipped),) = changes_of(given, other, (1, 2))
        assert flipped == (not torch.equal(image, given))


def test_the_crop_is_the_one_that_was_chosen():
    sizes = np.tile([60, 80], (40, 1))
    assert crop_boxes(sizes, (50, 50), choices(), draws()) is None
    places = draws().uniform(Purpose.CROP, 2)
    found = crop_boxes(sizes, (50, 50), choices(crop="random"), draws())
    assert np.array_equal(found, random_boxes(sizes, (50, 50), places))
    resized = choices(crop="random-resized", crop_scale=0.3, crop_ratio=1.5)
    numbers = draws().uniform(Purpose.CROP, RESIZED_DRAWS)
    expected = resized_boxes(sizes, 0.3, 1.5, numbers)
    assert np.array_equal(crop_boxes(sizes, (50, 50), resized, draws()), expected)
