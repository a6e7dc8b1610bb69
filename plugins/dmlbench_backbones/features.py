"""What can be done to the features of a timm network: pooling, layer norm, frozen batch norm."""

from typing import Self

from torch import Tensor, nn

from dmlbench import ConfigError


class Pool(nn.Module):
    """Reduces a map to one value per channel: its mean, its maximum, or the sum of both.

    The maximum's gradient goes to all places that share it and is deterministic on a GPU, unlike
    that of `torch.nn.AdaptiveMaxPool2d`.

    Args:
        kind: "avg", "max" or "avg+max".
        dim: the map's two dimensions.
        flatten: whether these are removed; otherwise they keep length 1.
    """

    def __init__(self, kind: str, dim: tuple[int, int] = (2, 3), flatten: bool = True) -> None:
        super().__init__()
        self.kind = kind
        self.dim = dim
        self.flatten = flatten

    def forward(self, maps: Tensor) -> Tensor:
        """Return values ``[B, C]``, or a map of one place, of maps ``[B, C, H, W]``."""
        if self.kind == "avg":
            return maps.mean(self.dim, keepdim=not self.flatten)
        largest = maps.amax(self.dim, keepdim=not self.flatten)
        if self.kind == "max":
            return largest
        return largest + maps.mean(self.dim, keepdim=not self.flatten)


def pool_by(network: nn.Module, kind: str, name: str) -> None:
    """Replace how `network` pools its last map, in place.

    Args:
        network: one of timm's.
        kind: see `Pool`.
        name: of the network, for the user.

    Raises:
        ConfigError: the network doesn't end in a map that is pooled, or pools it by learned
            weights.
    """
    from timm.layers import SelectAdaptivePool2d

    layers = [layer for layer in network.modules() if isinstance(layer, SelectAdaptivePool2d)]
    if len(layers) != 1:
        raise ConfigError(
            f"The network '{name}' pools in its own way, which can't be replaced by {kind!r}: "
            "leave backbone.pooling at 'own'."
        )
    usual = layers[0].pool  # in some of timm's layers it flattens, in others the layer does
    dim, flatten = getattr(usual, "dim", (2, 3)), getattr(usual, "flatten", False)
    layers[0].pool_type = kind
    layers[0].add_module("pool", Pool(kind, dim, flatten))


class Features(nn.Module):
    """A network whose features are normalised, or whose batch norm stays as it was pretrained.

    Args:
        network: with an attribute ``num_features``.
        layer_norm: whether features get mean 0 and variance 1, item by item.
        batch_norm: "trained", "frozen-statistics" or "frozen".
        name: of the network, for the user.

    Raises:
        ConfigError: batch norm should be frozen, and there is none.
    """

    def __init__(self, network: nn.Module, layer_norm: bool, batch_norm: str, name: str) -> None:
        super().__init__()
        self.num_features = network.num_features
        self.network = network
        self.norm = (
            nn.LayerNorm(self.num_features, elementwise_affine=False)
            if layer_norm
            else nn.Identity()
        )
        kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        found = [layer for layer in network.modules() if isinstance(layer, kinds)]
        if batch_norm != "trained" and not found:
            raise ConfigError(
                f"The network '{name}' has no batch norm to freeze: leave backbone.batch_norm at "
                "'trained'."
            )
        self._still = found if batch_norm != "trained" else []
        if batch_norm == "frozen":
            for layer in found:
                layer.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; frozen batch norm always stays in evaluation."""
        super().train(mode)
        for layer in self._still:
            layer.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features ``[B, F]`` of images ``[B, C, H, W]``."""
        features: Tensor = self.norm(self.network(inputs))
        return features
