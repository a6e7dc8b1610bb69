"""How many operations a network takes for one image, counted on shapes alone."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from dmlbench.contracts.components import Backbone
from dmlbench.errors import PluginError


class NetworkSize(NamedTuple):
    """What a network has, and what it does to one image.

    Attributes:
        features: numbers that come out.
        parameters: weights and biases.
        operations: in the matrix products, convolutions and attention; a multiply-add is two.
    """

    features: int
    parameters: int
    operations: int


def network_size(backbone: Backbone, shape: tuple[int, int, int]) -> NetworkSize:
    """Return the size of a network for images of `shape`; no number is drawn or computed.

    Raises:
        PluginError: it makes other features than it says.
    """
    with torch.device("meta"):
        network = backbone.without_weights().build(shape).eval()
        images = torch.empty(1, *shape)
    network.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        features = network(images)
    if features.shape != (1, network.num_features):
        raise PluginError(
            f"The network says that it makes {network.num_features} features of an image, and "
            f"makes {[*features.shape]} of one."
        )
    parameters = sum(weight.numel() for weight in network.parameters())
    return NetworkSize(int(features.shape[1]), parameters, int(counter.get_total_flops()))
