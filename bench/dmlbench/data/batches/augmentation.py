"""Random augmentation of training images, a batch at a time, on the batch's own device."""

import numpy as np
import torch
from torch import Tensor

from dmlbench.data.batches.colour_jitter import DRAWS, jitter, jitters
from dmlbench.data.batches.random_numbers import Purpose, RandomNumbers
from dmlbench.data.photos.crops import RESIZED_DRAWS, random_boxes, resized_boxes
from dmlbench.data.photos.resampling import to_device
from dmlbench.schemas.protocol import Augmentation

_LARGE = 4096  # values in an image


def crop_boxes(
    sizes: np.ndarray, seen: tuple[int, int], choices: Augmentation, draws: RandomNumbers
) -> np.ndarray | None:
    """Return what to crop from each picture: boxes ``[B, 4]``, or None for its centre.

    Args:
        sizes: heights and widths of the pictures ``[B, 2]``.
        seen: height and width of what the network sees.
        choices: which crop.
        draws: the pictures' random numbers.
    """
    if choices.crop == "random":
        return random_boxes(sizes, seen, draws.uniform(Purpose.CROP, 2))
    if choices.crop == "random-resized":
        numbers = draws.uniform(Purpose.CROP, RESIZED_DRAWS)
        return resized_boxes(sizes, choices.crop_scale, choices.crop_ratio, numbers)
    return None


def augment(images: Tensor, choices: Augmentation, draws: RandomNumbers) -> Tensor:
    """Return `images` ``[B, C, H, W]`` uint8 augmented, each image independently.

    A shift moves the picture by whole pixels, up to the allowed share of its side (rounded), and
    repeats its edge; then the picture may be mirrored; then its colours change. Crops come earlier.

    Args:
        images: a batch that belongs to the caller; it may be overwritten.
        choices: what may change, and by how much.
        draws: the images' random numbers.
    """
    _, _, height, width = images.shape
    if choices.shift:
        moves = draws.uniform(Purpose.SHIFT, 2)
        rows = to_device(_shifted(height, choices.shift, moves[:, :1]), images.device)
        columns = to_device(_shifted(width, choices.shift, moves[:, 1:]), images.device)
        index = torch.arange(len(images), device=images.device)[:, None, None]
        images = images[index, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if choices.flip:
        images = _mirrored(images, draws.uniform(Purpose.FLIP, 1)[:, 0] < 0.5)
    if jitters(choices):
        images = jitter(images, choices, draws.uniform(Purpose.COLOUR, DRAWS))
    return images


def _mirrored(images: Tensor, chosen: np.ndarray) -> Tensor:
    if images.is_cuda or images[0].numel() < _LARGE:
        mirrored = to_device(chosen, images.device)[:, None, None, None]
        return torch.where(mirrored, images.flip(3), images)
    # Large ones on a CPU one by one, in place: 8 times as fast, as allocation costs the most.
    for place in np.flatnonzero(chosen):
        images[place] = images[place].flip(2)
    return images


def _shifted(side: int, share: float, draws: np.ndarray) -> np.ndarray:
    """Return the source of each pixel along one side of each image ``[B, side]``."""
    most = round(share * side)
    moves = np.floor(draws * (2 * most + 1)).astype(np.int64) - most
    places: np.ndarray = (np.arange(side) + moves).clip(0, side - 1)
    return places
