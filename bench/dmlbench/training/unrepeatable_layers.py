"""Layers that cannot be trained on a GPU with repeatable results, found before anything is loaded.

There torch refuses the first backward pass, and would say so only after all photos are decoded.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import nn

from dmlbench.components.workplace import Workplace
from dmlbench.errors import ConfigError
from dmlbench.schemas.trial import Part, Trial

_UNREPEATABLE = {
    "AdaptiveAvgPool2D": "AdaptiveAvgPool2d to more than 1x1",
    "AdaptiveAvgPool3D": "AdaptiveAvgPool3d",
    "AdaptiveMaxPool2D": "AdaptiveMaxPool2d",
    "AvgPool3D": "AvgPool3d",
    "FractionalMaxPool2D": "FractionalMaxPool2d",
    "FractionalMaxPool3D": "FractionalMaxPool3d",
    "GridSampler2D": "grid_sample",
    "GridSampler3D": "grid_sample",
    "MaxUnpool2D": "MaxUnpool2d",
    "MaxUnpool3D": "MaxUnpool3d",
    "ReflectionPad1D": "ReflectionPad1d",
    "ReflectionPad2D": "ReflectionPad2d",
    "ReflectionPad3D": "ReflectionPad3d",
    "UpsampleBicubic2D": "bicubic interpolation",
    "UpsampleBicubic2DAa": "bicubic interpolation",
    "UpsampleBilinear2DAa": "bilinear interpolation with antialiasing",
    "UpsampleLinear1D": "linear interpolation",
    "UpsampleTrilinear3D": "trilinear interpolation",
}
"""The nodes of autograd that torch.use_deterministic_algorithms refuses on CUDA, in plain words.

Bilinear interpolation is missing: torch computes it otherwise in that mode.
"""


def unrepeatable_layers(network: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """Return what in `network` torch can't differentiate repeatably on CUDA, in plain words.

    One input of `shape` goes through the network on the CPU, in evaluation mode, and autograd's
    graph is read: a layer that gets no gradient does no harm.
    """
    was_training = network.training
    network.eval()
    with torch.enable_grad():
        output = network(torch.zeros(1, *shape))
    network.train(was_training)
    found = {name.rstrip("0123456789").removesuffix("Backward") for name in _nodes(output)}
    return sorted({_UNREPEATABLE[name] for name in found & _UNREPEATABLE.keys()})


def _nodes(output: torch.Tensor) -> Iterator[str]:
    """Yield the name of every node behind `output`, such as ``ReflectionPad2DBackward0``."""
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node.name()
            waiting += [before for before, _ in node.next_functions]


def refuse_unrepeatable_layers(trial: Trial, workplace: Workplace, device_type: str) -> None:
    """Refuse a trial that trains a network of photos which a GPU can't train repeatably.

    Raises:
        ConfigError: it has such a layer.
    """
    if device_type != "cuda" or trial.protocol.frozen or "loss" not in trial.parts:
        return
    part = trial.parts["backbone"]
    found = _of_backbone(workplace, part.located().model_dump_json(), trial.protocol.image_size)
    if found:
        raise ConfigError(
            f"The backbone {part} has {' and '.join(found)}, which torch can't train repeatably on "
            "a GPU. Train it on the CPU (--device cpu), or choose a backbone without it, such as "
            "timm/resnet50."
        )


@lru_cache(maxsize=8)
def _of_backbone(workplace: Workplace, part: str, side: int) -> tuple[str, ...]:
    backbone = workplace.make("backbone", Part.model_validate_json(part))
    if backbone.modality != "image":
        return ()
    wanted = backbone.image_format()
    shape = (wanted.channels or 3, wanted.size or side, wanted.size or side)
    network = backbone.build(shape)
    try:
        return tuple(unrepeatable_layers(network, shape))
    except RuntimeError:  # not made for such a picture, which training says if it meets one
        return ()
