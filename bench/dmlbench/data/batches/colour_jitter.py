"""Colour jitter as torchvision defines it, for a batch of images with separate factors.

All functions take images ``[B, C, H, W]`` float32 from 0 to 1, C = 1 or 3, and one factor per image
``[B]``; they return new images from 0 to 1. On grey images saturation and hue change nothing.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dmlbench.compute.device import constant
from dmlbench.data.photos.resampling import to_device
from dmlbench.errors import ConfigError
from dmlbench.schemas.protocol import Augmentation

_GREY = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green and blue
DRAWS = 8
"""Random numbers that `jitter` needs per image."""


def jitters(choices: Augmentation) -> bool:
    """Return whether `choices` change colours at all."""
    return any((choices.brightness, choices.contrast, choices.saturation, choices.hue))


def jitter(images: Tensor, choices: Augmentation, draws: np.ndarray) -> Tensor:
    """Return `images` ``[B, C, H, W]`` uint8 with their colours changed, each by its own factors.

    Each image gets the changes that `choices` allow in a random order of its own.

    Args:
        images: on any device.
        choices: how far each change may go, as in torchvision's ``ColorJitter``.
        draws: random numbers in [0, 1) ``[B, DRAWS]``.

    Raises:
        ConfigError: the images have neither 1 nor 3 channels.
    """
    if images.shape[1] not in (1, 3):
        raise ConfigError(
            "The protocol changes colours, which takes images of 1 or 3 channels, but these have "
            f"{images.shape[1]}. Set brightness, contrast, saturation and hue of its augmentation "
            "to 0."
        )
    changed = images.float() / 255
    ways: list[tuple[float, Callable[[Tensor, Tensor], Tensor], float]] = [
        (choices.brightness, adjust_brightness, 1.0),
        (choices.contrast, adjust_contrast, 1.0),
        (choices.saturation, adjust_saturation, 1.0),
        (choices.hue, adjust_hue, 0.0),
    ]
    order = draws[:, :4].argsort(axis=1)
    for turn in range(4):
        for way, (most, adjust, middle) in enumerate(ways):
            chosen = np.flatnonzero(order[:, turn] == way)
            if most and len(chosen):
                low, high = max(middle - most, 0.0 if middle else -most), middle + most
                factors = low + (high - low) * draws[chosen, 4 + way]
                index = to_device(chosen, images.device)
                given = to_device(factors.astype(np.float32), images.device)
                changed[index] = adjust(changed[index], given)
    return (changed * 255).round_().to(torch.uint8)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Return `images` multiplied by their factor."""
    return _blend(images, torch.zeros_like(images[:, :1]), factors)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Return `images` blended with the mean of their grey version."""
    return _blend(images, _grey(images).mean(dim=(1, 2, 3), keepdim=True), factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Return `images` blended with their grey version."""
    return images if images.shape[1] == 1 else _blend(images, _grey(images), factors)


def adjust_hue(images: Tensor, factors: Tensor) -> Tensor:
    """Return `images` with their hue rotated by the factor, in turns of the colour wheel."""
    if images.shape[1] == 1:
        return images
    top, _ = images.max(dim=1)
    spread = top - images.min(dim=1).values
    safe = torch.where(spread == 0, 1.0, spread)
    red, green, blue = ((top - colour) / safe for colour in images.unbind(1))
    hue = torch.where(
        images[:, 0] == top,
        blue - green,
        torch.where(images[:, 1] == top, 2 + red - blue, 4 + green - red),
    )
    hue = torch.where(spread == 0, 0.0, hue)
    hue = (hue / 6 + 1 + factors[:, None, None]) % 1
    # Each colour is `top` less a share of `spread`: a trapezoid over the wheel, shifted by thirds.
    offsets = constant((5.0, 3.0, 1.0), images.device)[:, None, None]
    turned = (offsets + 6 * hue[:, None]) % 6
    share = torch.minimum(turned, 4 - turned).clamp(0, 1)
    return top[:, None] - spread[:, None] * share


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    ratio = factors[:, None, None, None]
    return (ratio * images + (1 - ratio) * others).clamp_(0, 1)


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    weights = constant(_GREY, images.device)[:, None, None]
    return (images * weights).sum(dim=1, keepdim=True)
