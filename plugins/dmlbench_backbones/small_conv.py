"""A small convolutional network for small images: seconds per epoch on one CPU core.

    image [C, H, W] -> conv3x3 C->w, stride 2 -> conv3x3 w->2w, stride 2 -> conv3x3 2w->2w
                    -> average over a 2x2 grid -> features [8 w]

Each convolution is followed by batch normalisation and ReLU. The strides come early: with late
strides an epoch takes twice as long, for much the same figures. The grid keeps some information on
where things are, which a global average loses: a 6 and a 9 have much the same strokes.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench import Backbone, ConfigError, ImageFormat, IntUniform

_SMALLEST_SIDE = 8


class SmallConv(Backbone):
    """Three convolutions for images of 8 to 64 pixels, with 1 or 3 channels.

    56,000 parameters and 256 features at the default width. Larger images work, but a cell of the
    grid then averages over much of the picture.

    Args:
        width: channels of the first layer; the others have twice as many.
    """

    def __init__(self, *, width: Annotated[int, IntUniform(8, 128)] = 32) -> None:
        self.width = width

    def image_format(self) -> ImageFormat:
        """Return the dataset's own channels and size, with pixels from -1 to 1."""
        return ImageFormat(mean=(0.5,), std=(0.5,))

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return a new network for images of `shape`, its weights drawn at random.

        Raises:
            ConfigError: the input is no image, or its sides are shorter than 8 pixels.
        """
        if len(shape) != 3 or min(shape[1:]) < _SMALLEST_SIDE:
            raise ConfigError(
                f"The backbone 'small-conv' takes images [C, H, W] of at least {_SMALLEST_SIDE} "
                f"pixels a side, not inputs of shape {list(shape)}; vectors go to 'linear'."
            )
        return _SmallConvNetwork(shape[0], self.width).to(memory_format=torch.channels_last)


class _SmallConvNetwork(nn.Module):
    """Images ``[B, C, H, W]`` to features ``[B, F]``. Channels come last in memory: faster."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.num_features = 8 * width
        self.layers = nn.Sequential(
            *_convolution(channels, width, stride=2),
            *_convolution(width, 2 * width, stride=2),
            *_convolution(2 * width, 2 * width, stride=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        maps = self.layers(images.contiguous(memory_format=torch.channels_last))
        # The windows of adaptive average pooling, whose gradient is not deterministic on GPUs.
        stride = [side // 2 for side in maps.shape[2:]]
        window = [side - side // 2 for side in maps.shape[2:]]
        return F.avg_pool2d(maps, window, stride).flatten(1)


def _convolution(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
