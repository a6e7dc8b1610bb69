"""Shifts and flips against plain loops."""

import pytest
import torch

from dmlbench.data.augmentation import augment
from dmlbench.protocol import Augmentation

IMAGES = torch.randint(
    256, (40, 2, 6, 10), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
    changed = augment(IMAGES, Augmentation(shift=shift, flip=flip), generator())
    assert changed.dtype == torch.uint8
    drawn = [changes_of(*pair, most) for pair in zip(IMAGES, changed, strict=True)]
    assert all(len(found) == 1 for found in drawn)
    assert len({found[0] for found in drawn}) > 1
    assert flip == any(found[0][2] for found in drawn)


def test_every_move_is_drawn_and_none_is_farther():
    images = IMAGES[:1].repeat(2000, 1, 1, 1)
    changed = augment(images, Augmentation(shift=0.2, flip=True), generator())
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


def test_nothing_asked_for_is_nothing_changed():
    assert torch.equal(augment(IMAGES, Augmentation(shift=0, flip=False), generator()), IMAGES)


def test_draws_repeat_with_the_generator_and_with_it_alone():
    choices = Augmentation(shift=0.3, flip=True)
    first = augment(IMAGES, choices, generator(1))
    torch.manual_seed(99)
    assert torch.equal(augment(IMAGES, choices, generator(1)), first)
    assert not torch.equal(augment(IMAGES, choices, generator(2)), first)


def test_the_originals_are_left_alone():
    before = IMAGES.clone()
    augment(IMAGES, Augmentation(shift=0.5, flip=True), generator())
    assert torch.equal(IMAGES, before)
