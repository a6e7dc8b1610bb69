"""Random changes of training images, a batch at a time, on the device where the batch is."""

import torch
from torch import Tensor

from dmlbench.protocol import Augmentation


def augment(images: Tensor, choices: Augmentation, generator: torch.Generator) -> Tensor:
    """Return changed copies of `images` ``[B, C, H, W]``; each image draws its own changes.

    A shift moves the picture by whole pixels, up to the nearest to the share that `choices` allow,
    and repeats its edge. The draws come from `generator` (on the CPU), whatever the device.
    """
    batch, _, height, width = images.shape
    if choices.shift:
        rows = _shifted(height, batch, choices.shift, generator)
        columns = _shifted(width, batch, choices.shift, generator)
        index = torch.arange(batch)[:, None, None]
        places = (index, rows[:, :, None], columns[:, None, :])
        index, rows, columns = (place.to(images.device) for place in places)
        images = images[index, :, rows, columns].permute(0, 3, 1, 2)
    if choices.flip:
        mirrored = (torch.rand(batch, 1, 1, 1, generator=generator) < 0.5).to(images.device)
        images = torch.where(mirrored, images.flip(3), images)
    return images


def _shifted(side: int, batch: int, share: float, generator: torch.Generator) -> Tensor:
    """Return for each image where its pixels come from along one side ``[B, side]``."""
    most = round(share * side)
    moves = torch.randint(-most, most + 1, (batch, 1), generator=generator)
    return (torch.arange(side) + moves).clamp(0, side - 1)
