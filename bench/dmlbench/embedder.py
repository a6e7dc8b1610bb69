"""The network that is trained: a backbone, and a linear head to the embedding."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench.contracts import Backbone, ImageFormat
from dmlbench.data.items import Items
from dmlbench.data.placed import place
from dmlbench.device import autocast
from dmlbench.errors import ConfigError, PluginError

_EVALUATION_BATCH = 256
_MOST_VALUES = 1 << 23  # of a batch on a CPU: 55 images of 3x224x224


class Embedder(nn.Module):
    """From raw inputs to embeddings ``[B, E]``, not normalised.

    Raises:
        ConfigError: the backbone is not made for such inputs.
        PluginError: the backbone breaks its contract.
    """

    def __init__(self, backbone: Backbone, items: Items, embedding_dim: int) -> None:
        super().__init__()
        shape = check_input(backbone, items)
        self.format = backbone.image_format() if backbone.modality == "image" else None
        self.backbone = backbone.build(shape)
        features = getattr(self.backbone, "num_features", None)
        if not isinstance(features, int):
            raise PluginError(f"{type(backbone).__name__}.build returned no int num_features.")
        self.head = nn.Linear(features, embedding_dim)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return embeddings of images ``[B, C, H, W]`` uint8, or of vectors ``[B, D]``."""
        if self.format:
            inputs = _formatted(inputs, self.format)
        embeddings: Tensor = self.head(self.backbone(inputs))
        return embeddings


def check_input(backbone: Backbone, items: Items) -> tuple[int, ...]:
    """Return the shape in which `items` reach `backbone`.

    Raises:
        ConfigError: the backbone is not made for such inputs.
    """
    name = type(backbone).__name__
    modality = "image" if items.inputs.dtype == np.uint8 else "vector"
    if backbone.modality != modality:
        raise ConfigError(
            f"The backbone {name} takes {backbone.modality}s, the dataset has {modality}s. "
            "Choose another with --backbone."
        )
    shape: tuple[int, ...] = items.inputs.shape[1:]
    if modality == "vector":
        return shape
    wanted = backbone.image_format()
    if wanted.channels and shape[0] not in (1, wanted.channels):
        raise ConfigError(f"{name} wants {wanted.channels} channels, the images have {shape[0]}.")
    sides = (wanted.size, wanted.size) if wanted.size else shape[1:]
    return (wanted.channels or shape[0], *sides)


def _formatted(images: Tensor, wanted: ImageFormat) -> Tensor:
    images = images.float() / 255
    if wanted.channels:
        images = images.expand(-1, wanted.channels, -1, -1)
    if wanted.size:
        images = F.interpolate(
            images, (wanted.size, wanted.size), mode="bicubic", antialias=True, align_corners=False
        )
    mean = torch.tensor(wanted.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(wanted.std, device=images.device).view(1, -1, 1, 1)
    return (images - mean) / std


@torch.no_grad()
def embed(
    model: Embedder,
    items: Items,
    device: torch.device,
    precision: Literal["float32", "bfloat16"],
) -> Tensor:
    """Return the embeddings of `items` in evaluation mode, ``[N, E]`` float32."""
    model.eval()
    parts, size = [], _evaluation_batch(items, device)
    inputs = place(items.inputs, device)
    for index in np.array_split(np.arange(len(items)), range(size, len(items), size)):
        with autocast(device, precision):
            parts.append(model(inputs.plain(index)).float())
    return torch.cat(parts)


def _evaluation_batch(items: Items, device: torch.device) -> int:
    """Return how many items are embedded at once: fewer large ones, where memory is the CPU's."""
    values = int(np.prod(items.inputs.shape[1:]))
    if device.type != "cpu":
        return _EVALUATION_BATCH
    return min(_EVALUATION_BATCH, max(16, _MOST_VALUES // values))
