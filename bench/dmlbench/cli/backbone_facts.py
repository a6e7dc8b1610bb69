"""What ``dmlbench show backbone NAME`` says of a network, without loading its weights."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dmlbench.contracts.components import Backbone
from dmlbench.contracts.pretraining import Pretraining
from dmlbench.errors import PluginError, guarded

_USUAL_SIDE = 224
"""Side of the image that operations are counted on, if the backbone takes any."""


def backbone_facts(backbone: Backbone) -> dict[str, str]:
    """Return facts by topic: what goes in and comes out, its size, and where its weights are from.

    Raises:
        ConfigError: its settings do not go together, or there is no such network.
        PluginError: it breaks its contract.
    """
    with guarded(f"The backbone {type(backbone).__name__}"):
        resolved, pretraining = backbone.resolved(), backbone.pretraining()
        facts = {
            name.replace("_", " "): str(value)
            for name, value in resolved.items()
            if value is not None
        }
        if backbone.modality == "image":
            facts = _network(backbone) | facts
    if pretraining:
        facts |= dict(_weights(pretraining))
    return facts


def _network(backbone: Backbone) -> dict[str, str]:
    wanted = backbone.image_format()
    side = wanted.size or _USUAL_SIDE
    channels = wanted.channels or 3
    with torch.device("meta"):  # shapes alone: no numbers are drawn or computed
        network = backbone.without_weights().build((channels, side, side)).eval()
        operations = _operations(network, torch.empty(1, channels, side, side))
    size = f"{channels} x {side} x {side}"
    return {
        "input": f"{size} pixels" if wanted.size else "images of any size",
        "features": f"{network.num_features:,}",
        "parameters": f"{sum(weight.numel() for weight in network.parameters()):,}",
        "GFLOPs": f"{operations / 1e9:.3g} in the matrix products, convolutions and attention for "
        f"an image of {size}; a multiply-add is two",
    }


def _operations(network: nn.Module, images: torch.Tensor) -> int:
    network.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        features = network(images)
    if features.shape != (1, network.num_features):
        raise PluginError(
            f"The network says that it makes {network.num_features} features of an image, and "
            f"makes {[*features.shape]} of one."
        )
    return int(counter.get_total_flops())


def _weights(pretraining: Pretraining) -> Iterator[tuple[str, str]]:
    yield "pre-trained on", pretraining.data
    yield "licence of its weights", pretraining.licence or "unknown"
    for dataset, found in pretraining.contamination.items():
        answers = f"images {found.images}, classes {found.classes}"
        yield f"{dataset} in that data", f"{answers}. {found.reason}".rstrip()
