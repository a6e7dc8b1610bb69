"""What of a timm network learns nothing, and layer norm on its features."""

from typing import Self

from torch import Tensor, nn

from dmlbench import ConfigError


def patch_embedding(network: nn.Module, name: str) -> nn.Module:
    """Return the layer of `network` that turns patches of an image into tokens.

    Raises:
        ConfigError: it has none; `name` is that of the network, for the user.
    """
    layer = getattr(network, "patch_embed", None)
    if not isinstance(layer, nn.Module) or not list(layer.parameters()):
        raise ConfigError(
            f"The network 'timm/{name}' has no patch embedding to freeze: leave "
            "backbone.patch_embedding at 'trained'."
        )
    return layer


def batch_norms(network: nn.Module, name: str) -> list[nn.Module]:
    """Return the layers of `network` that normalise batches.

    Raises:
        ConfigError: it has none; `name` is that of the network, for the user.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    found: list[nn.Module] = [one for one in network.modules() if isinstance(one, kinds)]
    if not found:
        raise ConfigError(
            f"The network 'timm/{name}' has no batch norm to freeze: leave backbone.batch_norm at "
            "'trained'."
        )
    return found


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
        self._still = [] if batch_norm == "trained" else batch_norms(network, name)
        if batch_norm == "frozen":
            for layer in self._still:
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
