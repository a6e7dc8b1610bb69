"""Random changes of training images, a batch at a time, on the device where the batch is."""

import torch
from torch import Tensor

from dmlbench.protocol import Augmentation


def augment(images: Tensor, choices: Augmentation, generator: torch.Generator) -> Tensor:
    """Return changed copies of `images` ``[B, C, H, W]``; each image draws its own changes.

    The draws come from `generator` (on the CPU), so they do not depend on the device.
    """
    batch, _, height, width = images.shape
    if choices.shift:
        span = 2 * choices.shift + 1
        moves = torch.randint(span, (2, batch, 1), generator=generator) - choices.shift
        rows = (torch.arange(height) + moves[0]).clamp(0, height - 1).to(images.device)
        columns = (torch.arange(width) + moves[1]).clamp(0, width - 1).to(images.device)
        index = torch.arange(batch, device=images.device)[:, None, None]
        images = images[index, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if choices.flip:
        mirrored = torch.rand(batch, generator=generator) < 0.5
        images = torch.where(
            mirrored.to(images.device)[:, None, None, None], images.flip(3), images
        )
    return images
