"""Resizing, always anti-aliased: picture by picture on the CPU, a batch at once on a GPU.

Both compute what torch and torchvision do with ``antialias=True``: an output pixel is the mean of
the input pixels near it, weighted by a triangle (bilinear) or by the cubic with a = -0.5 (bicubic),
which is stretched to the width of an output pixel where the picture shrinks. On the CPU torch
rounds after the rows and again after the columns, a batch only once, at the end: results differ by
one level here and there, and by more only where the cubic overshoots black or white.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]

_REACH = {"bilinear": 1.0, "bicubic": 2.0}


def resized(picture: np.ndarray, size: tuple[int, int], interpolation: Interpolation) -> np.ndarray:
    """Return `picture` ``[H, W, C]`` uint8 in another size ``[*size, C]``.

    Args:
        picture: is not changed.
        size: height and width.
        interpolation: the shape of the weights.
    """
    height, width, channels = picture.shape
    if (height, width) == size:
        return picture
    # Torch recognises channels-last only if the stride of the batch dimension fits it too.
    image = torch.from_numpy(np.array(picture)).view(1, height, width, channels).permute(0, 3, 1, 2)
    changed = F.interpolate(image, size, mode=interpolation, antialias=True)
    return changed.permute(0, 2, 3, 1)[0].numpy()


def cut_regions(pixels: Tensor, starts: Tensor, widths: Tensor, boxes: np.ndarray) -> Tensor:
    """Return regions of pictures that are stored one after another ``[B, H, W, C]`` uint8.

    H and W are the largest of all; smaller regions are in the top left corner, and the values
    beside them are arbitrary.

    Args:
        pixels: of all pictures, row by row ``[P, C]`` uint8.
        starts: index of the first pixel of each picture ``[B]``.
        widths: of the pictures ``[B]``.
        boxes: top, left, height and width of the regions ``[B, 4]``.
    """
    tallest, widest = boxes[:, 2:].max(axis=0).tolist()
    top, left, height, width = to_device(boxes, pixels.device)[:, :, None].unbind(1)
    rows = top + torch.arange(tallest, device=pixels.device).minimum(height - 1)
    columns = left + torch.arange(widest, device=pixels.device).minimum(width - 1)
    lines = starts[:, None] + rows * widths[:, None]
    return pixels[lines[:, :, None] + columns[:, None, :]]


def resized_regions(
    regions: Tensor, boxes: np.ndarray, size: tuple[int, int], interpolation: Interpolation
) -> Tensor:
    """Return regions of several sizes resized to one ``[B, C, *size]`` uint8, all at once.

    It multiplies by two matrices of weights, for rows and for columns: fast on a GPU, while
    `resized` is much faster on a CPU.

    Args:
        regions: ``[B, H, W, C]`` uint8, each in the top left corner.
        boxes: ``[B, 4]``; the last two columns are the heights and widths of the regions.
        size: height and width.
        interpolation: the shape of the weights.
    """
    if (boxes[:, 2:] == size).all():
        return regions.permute(0, 3, 1, 2)
    lengths = to_device(boxes[:, 2:], regions.device)
    rows = _weights(lengths[:, 0], regions.shape[1], size[0], interpolation)
    columns = _weights(lengths[:, 1], regions.shape[2], size[1], interpolation)
    images = regions.permute(0, 3, 1, 2).float()
    images = rows[:, None] @ (images @ columns[:, None].transpose(2, 3))
    return images.round_().clamp_(0, 255).to(torch.uint8)


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Return `array` on `device`; copies to a GPU are asynchronous."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _weights(lengths: Tensor, longest: int, side: int, interpolation: Interpolation) -> Tensor:
    """Return the weight of each pixel of a line in each output pixel ``[B, side, longest]``."""
    scale = (lengths.double() / side)[:, None, None]
    stretch = scale.clamp(min=1.0)
    places = torch.arange(longest, device=lengths.device, dtype=torch.float64) + 0.5
    centres = (torch.arange(side, device=lengths.device, dtype=torch.float64) + 0.5)[:, None]
    distance = ((places - centres * scale) / stretch).abs()
    weights = _KERNELS[interpolation](distance)
    weights = weights * (distance < _REACH[interpolation])
    weights = weights * (places < lengths[:, None, None])
    return (weights / weights.sum(dim=2, keepdim=True)).float()


def _triangle(distance: Tensor) -> Tensor:
    return 1 - distance


def _cubic(distance: Tensor) -> Tensor:
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, far)


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic}
