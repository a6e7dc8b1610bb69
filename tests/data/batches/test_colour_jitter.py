"""Colour jitter against torchvision's functions, image by image."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as torchvision

from dmlbench import ConfigError
from dmlbench.data.batches import colour_jitter as colour
from dmlbench.data.batches.colour_jitter import DRAWS, jitter, jitters
from dmlbench.schemas.protocol import Augmentation

GENERATOR = torch.Generator().manual_seed(0)
COLOURED = torch.rand(12, 3, 9, 7, generator=GENERATOR)
COLOURED[0] = 0.3  # without colour
COLOURED[1] = 0
COLOURED[2] = 1
COLOURED[3, 0] = 1  # edges of the colour wheel
COLOURED[3, 1:] = 0
COLOURED[4] = COLOURED[4].round()
GREY = COLOURED[:, :1]
WAYS = ["brightness", "contrast", "saturation", "hue"]


TIMES = [0, 0.2, 0.5, 0.9, 1, 1.1, 1.5, 2, 3, 0.7, 1.3, 0.01]
TURNS = [-0.5, -0.3, -0.1, 0, 0.05, 0.2, 0.4, 0.5, 0.17, -0.25, 0.33, -0.49]


def choices(**changes: float) -> Augmentation:
    return Augmentation(shift=0, flip=False, **changes)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("images", [COLOURED, GREY], ids=["colour", "grey"])
def test_each_change_is_torchvisions_with_a_factor_an_image(way, images):
    factors = TURNS if way == "hue" else TIMES
    found = getattr(colour, f"adjust_{way}")(images, torch.tensor(factors))
    theirs = getattr(torchvision, f"adjust_{way}")
    for image, given, factor in zip(found, images, factors, strict=True):
        torch.testing.assert_close(image, theirs(given, factor), atol=2e-6, rtol=0)


@pytest.mark.parametrize("way", WAYS)
def test_numbers_are_brought_to_a_device_once(way, monkeypatch):
    adjust, factors = getattr(colour, f"adjust_{way}"), torch.tensor(TURNS)
    first = adjust(COLOURED, factors)
    monkeypatch.setattr(torch, "tensor", None)
    assert torch.equal(adjust(COLOURED, factors), first)


def test_the_changes_come_in_an_order_and_with_factors_of_each_image():
    most = choices(brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)
    images = (COLOURED * 255).round().to(torch.uint8)
    draws = np.random.default_rng(0).random((12, DRAWS))
    found = jitter(images, most, draws)
    orders = set()
    for image, given, row in zip(found, images, draws, strict=True):
        changed = given / 255
        orders.add(tuple(np.argsort(row[:4])))
        for way in np.argsort(row[:4]):
            low, high = [(0.6, 1.4), (0.7, 1.3), (0.8, 1.2), (-0.1, 0.1)][way]
            adjust = getattr(torchvision, f"adjust_{WAYS[way]}")
            changed = adjust(changed, low + (high - low) * row[4 + way])
        assert (image - changed * 255).abs().max() <= 0.502
    assert len(orders) > 6


def test_factors_never_fall_below_nothing():
    images = torch.full((1, 1, 2, 2), 200, dtype=torch.uint8)
    darkest = np.zeros((1, DRAWS))
    assert jitter(images, choices(brightness=3), darkest).max() == 0
    assert jitter(images, choices(brightness=0.25), darkest).unique().tolist() == [150]


def test_what_may_not_change_stays():
    images = (COLOURED * 255).round().to(torch.uint8)
    draws = np.random.default_rng(0).random((12, DRAWS))
    before = images.clone()
    jitter(images, choices(brightness=0.9, hue=0.5), draws)
    assert torch.equal(images, before)
    assert torch.equal(jitter(images, choices(), draws), images)
    assert not jitters(choices())
    assert jitters(choices(hue=0.1))


def test_images_without_colours_are_refused():
    with pytest.raises(ConfigError, match="channels, but these have 4"):
        jitter(torch.zeros(1, 4, 2, 2), choices(hue=0.1), np.zeros((1, DRAWS)))
