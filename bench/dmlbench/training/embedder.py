"""The network that is trained: a backbone, and a linear head to the embedding."""

from hashlib import sha256
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlbench.compute.device import constant
from dmlbench.compute.phases import progressed
from dmlbench.compute.precision import Precision, forward_in
from dmlbench.compute.world import ALONE, World
from dmlbench.contracts.components import Backbone, ImageFormat
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.own_streams import prefetch_to
from dmlbench.data.items import Items
from dmlbench.errors import ConfigError, PluginError

_EVALUATION_BATCH = 256
_MOST_VALUES = 1 << 22  # in a batch on a CPU: 27 images of 3x224x224
_CACHED_VALUES = 1 << 17  # that fit in the cache of a core

HeadInit = Literal["torch", "kaiming-fan-out", "orthogonal"]


class Embedder(nn.Module):
    """From raw inputs to embeddings ``[B, E]`` float32, not normalised.

    Args:
        backbone: builds the network that makes features.
        items: what it will be given.
        embedding_dim: E.
        head_init: how the linear head starts, see `start_head`.
        precision: in which the backbone computes; the head computes in float32.

    Raises:
        ConfigError: the backbone is not made for such inputs.
        PluginError: the backbone breaks its contract.
    """

    def __init__(
        self,
        backbone: Backbone,
        items: Items,
        embedding_dim: int,
        head_init: HeadInit = "torch",
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        self.precision = precision
        shape = check_input(backbone, items)
        self.format = backbone.image_format() if backbone.modality == "image" else None
        self.backbone = backbone.build(shape)
        features = getattr(self.backbone, "num_features", None)
        if not isinstance(features, int):
            raise PluginError(f"{type(backbone).__name__}.build returned no int num_features.")
        self.head = nn.Linear(features, embedding_dim)
        start_head(self.head, head_init)
        self._formatted: Tensor | None = None
        if self.format:  # 1.0 to 1.5 times as fast on a CPU, measured on seven networks
            self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return embeddings of images ``[B, C, H, W]`` uint8, or of vectors ``[B, D]``."""
        embeddings: Tensor = self.head(self.features(inputs))
        return embeddings

    def features(self, inputs: Tensor) -> Tensor:
        """Return what the backbone makes of `inputs`, ``[B, F]`` float32."""
        if self.format:
            inputs = formatted(inputs, self.format, self._reusable(inputs))
            self._formatted = inputs if self.training else None
        with forward_in(self.precision, inputs.device):
            features: Tensor = self.backbone(inputs)
        return features.float()

    @property
    def backbone_learns(self) -> bool:
        """Return whether a weight of the backbone wants a gradient."""
        return any(weight.requires_grad for weight in self.backbone.parameters())

    def _reusable(self, inputs: Tensor) -> Tensor | None:
        """Return the formatted inputs of the previous batch, if they may be overwritten.

        In training a batch is finished before the next one comes, and on a CPU allocating memory
        for large batches takes longer than the computation in it. Autograd refuses to go back
        through a batch that was overwritten.
        """
        return self._formatted if self.training and inputs.device.type == "cpu" else None


def start_head(head: nn.Linear, how: HeadInit) -> None:
    """Draw the weights of `head` anew, unless it starts as torch makes it; then its bias is 0.

    Args:
        head: ``[E, F]``.
        how: ``kaiming-fan-out`` draws from a normal distribution of variance 2 / E (He, Zhang,
            Ren, Sun, ICCV 2015); ``orthogonal`` draws orthogonal rows or columns of length 1
            (Saxe, McClelland, Ganguli, ICLR 2014).
    """
    if how == "torch":
        return
    if how == "kaiming-fan-out":
        nn.init.kaiming_normal_(head.weight, mode="fan_out")
    else:
        nn.init.orthogonal_(head.weight)
    nn.init.zeros_(head.bias)


def weights_hash(network: nn.Module) -> str:
    """Return a hash of all tensors of a network's state, in the order of their names."""
    digest = sha256()
    tensors = {k: v for k, v in network.state_dict().items() if isinstance(v, Tensor)}
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_input(backbone: Backbone, items: Items) -> tuple[int, ...]:
    """Return the shape in which `items` reach `backbone`.

    Raises:
        ConfigError: the backbone is not made for such inputs.
    """
    name = type(backbone).__name__
    modality = "image" if items.inputs.dtype == np.uint8 else "vector"
    if backbone.modality != modality:
        raise ConfigError(
            f"The backbone {name} takes {backbone.modality}s, but the dataset has {modality}s. "
            "Choose another with --backbone."
        )
    shape: tuple[int, ...] = items.inputs.shape[1:]
    if modality == "vector":
        return shape
    wanted = backbone.image_format()
    if wanted.channels and shape[0] not in (1, wanted.channels):
        raise ConfigError(f"{name} needs {wanted.channels} channels, the images have {shape[0]}.")
    sides = (wanted.size, wanted.size) if wanted.size else shape[1:]
    return (wanted.channels or shape[0], *sides)


def formatted(images: Tensor, wanted: ImageFormat, buffer: Tensor | None = None) -> Tensor:
    """Return images as a network expects them ``[B, C, H, W]`` float32.

    Args:
        images: ``[B, C, H, W]`` uint8; if their channels are last in memory, those of the result
            are too.
        wanted: channels, size, mean and standard deviation.
        buffer: an earlier result that may be overwritten.
    """
    size = (wanted.size or images.shape[2], wanted.size or images.shape[3])
    scaled = size != images.shape[2:]
    if scaled:
        images = F.interpolate(images.float() / 255, size, mode="bicubic", antialias=True)
    shape = (len(images), wanted.channels or images.shape[1], *size)
    layout = torch.contiguous_format if images.is_contiguous() else torch.channels_last
    if buffer is None or buffer.shape != shape or not buffer.is_contiguous(memory_format=layout):
        buffer = torch.empty(shape, device=images.device, memory_format=layout)
    mean, std = (_spread(numbers, buffer, layout) for numbers in (wanted.mean, wanted.std))
    # A few images at a time on a CPU: four times as fast for large ones.
    some = len(images) if images.is_cuda else max(1, _CACHED_VALUES // max(1, buffer[0].numel()))
    for source, target in zip(torch.split(images, some), torch.split(buffer, some), strict=True):
        target.copy_(source)
        rows = target if layout == torch.contiguous_format else _rows(target)
        if not scaled:
            rows.div_(255)
        rows.sub_(mean).div_(std)
    return buffer


def _spread(numbers: tuple[float, ...], images: Tensor, layout: torch.memory_format) -> Tensor:
    """Return one number per channel, shaped to broadcast to `images` or to their `_rows`."""
    spread = constant(numbers, images.device)
    if layout == torch.contiguous_format or len(numbers) == 1:
        return spread.view(-1, 1, 1)
    return spread.repeat(images.shape[3])


def _rows(images: Tensor) -> Tensor:
    """Return channels-last images as rows ``[B, H, W * C]``, which halves the time."""
    return images.permute(0, 2, 3, 1).flatten(2)


@torch.no_grad()
def embed(model: Embedder, items: Items, device: torch.device, world: World = ALONE) -> Tensor:
    """Return the embeddings of `items` in evaluation mode, ``[N, E]`` float32.

    Each of the processes of `world` embeds its share of them.
    """
    model.eval()
    parts, size, done = [], _evaluation_batch(items, device), 0
    inputs = to_device_inputs(items.inputs, device)
    mine = np.arange(len(items))[world.share(len(items))]
    index = np.array_split(mine, range(size, len(mine), size))
    for batch in prefetch_to(device, inputs.plain, index, inputs.threads, 2 * inputs.threads):
        parts.append(model(batch))
        done += len(batch)
        progressed(done, len(mine), "items")
    return world.gather(torch.cat(parts), len(items))


def _evaluation_batch(items: Items, device: torch.device) -> int:
    """Return how many items to embed at once: on a CPU fewer, if they are large."""
    values = int(np.prod(items.inputs.shape[1:]))
    if device.type != "cpu":
        return _EVALUATION_BATCH
    return min(_EVALUATION_BATCH, max(16, _MOST_VALUES // values))
