"""How a timm network's last layer becomes one vector, and what its authors' code does.

A convolutional network pools a map of places, a vision transformer a sequence of tokens: its class
token and those of the patches. Where this is done, and by what names, differs between timm's
networks; what can be chosen is read from the network itself.
"""

import torch
from torch import Tensor, nn

from dmlbench import ConfigError

MAPS = ("avg", "max", "avg+max", "gem")
"""What can be done to a map."""

TOKENS = ("token", "avg", "map")
"""What can be done to a sequence of tokens."""

# timm differs from upstream in this: it averages the patches, where DINOv3's `forward` returns the
# class token (facebookresearch/dinov3, dinov3/models/vision_transformer.py). EUPE's networks are
# built by the same code.
_UPSTREAM = {"_dinov3": "token"}


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


class GeneralisedMean(nn.Module):
    """Reduces a map to ``mean(x^p)^(1/p)`` per channel, GeM, with a learned exponent p.

    p starts at 3, between the mean (1) and the maximum; values below 1e-6 count as that.

    Source: Radenović, Tolias, Chum, Fine-tuning CNN Image Retrieval with No Human Annotation,
    TPAMI 2019, arXiv 1711.02512.

    Args:
        dim, flatten: see `Pool`.
    """

    def __init__(self, dim: tuple[int, int] = (2, 3), flatten: bool = True) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([3.0]))
        self.dim = dim
        self.flatten = flatten

    def forward(self, maps: Tensor) -> Tensor:
        """Return values ``[B, C]``, or a map of one place, of maps ``[B, C, H, W]``."""
        powers = maps.clamp(min=1e-6).pow(self.p)
        return powers.mean(self.dim, keepdim=not self.flatten).pow(1 / self.p)


def possible_pooling(network: nn.Module) -> tuple[str, ...]:
    """Return how the pooling of one of timm's networks can be set; empty: it is not to be changed.

    The attention pool of a vision transformer is learned, so it is there or it is not.
    """
    if len(_map_pools(network)) == 1:
        return MAPS
    own = getattr(network, "global_pool", None)
    # A distilled network averages two tokens; the others without these make no plain sequence.
    if own not in TOKENS or hasattr(network, "head_dist") or not _has(network, "num_prefix_tokens"):
        return ()
    has_token = _has(network, "has_class_token") or _has(network, "cls_token")
    return tuple(
        kind
        for kind, there in (("token", has_token), ("avg", True), ("map", own == "map"))
        if there
    )


def resolve_pooling(kind: str, architecture: str, network: nn.Module) -> str:
    """Return which of `possible_pooling` a `kind` is; "own" for a network that keeps its own.

    Args:
        kind: one of these, "own" for timm's, or "upstream" for that of the network's authors.
        architecture: timm's name of the network, without the tag of its weights.
        network: the network, whose weights don't matter.

    Raises:
        ConfigError: the network can't pool like this.
    """
    possible = possible_pooling(network)
    if kind == "upstream":
        kind = next((own for part, own in _UPSTREAM.items() if part in architecture), "own")
        kind = kind if kind in possible else "own"
    if kind == "own":
        timms = getattr(network, "global_pool", None)
        return timms if possible != MAPS and timms in possible else "own"
    if kind not in possible:
        choices = ", ".join(["upstream", "own", *possible])
        lacks = {"token": "has no class token", "map": "has no attention pool"}
        why = lacks.get(kind, "has no map to pool") if possible else "pools in its own way"
        raise ConfigError(
            f"The network 'timm/{architecture}' {why}: backbone.pooling can't be {kind!r} here. "
            f"Possible: {choices}."
        )
    return kind


def pool_by(network: nn.Module, kind: str) -> None:
    """Replace how `network` pools, in place, by one of its `possible_pooling`."""
    maps = _map_pools(network)
    if not maps:
        if kind != network.global_pool:  # attention pools of timm may look at registers, too
            network.pool_include_prefix = False  # type: ignore[assignment]
        network.reset_classifier(0, global_pool=kind)  # type: ignore[operator]
        return
    usual = maps[0].pool  # in some of timm's layers it flattens, in others the layer does
    dim, flatten = getattr(usual, "dim", (2, 3)), getattr(usual, "flatten", False)
    maps[0].pool_type = kind  # type: ignore[assignment]
    pool = GeneralisedMean(dim, flatten) if kind == "gem" else Pool(kind, dim, flatten)
    maps[0].add_module("pool", pool)


def _map_pools(network: nn.Module) -> list[nn.Module]:
    from timm.layers import SelectAdaptivePool2d

    return [layer for layer in network.modules() if isinstance(layer, SelectAdaptivePool2d)]


def _has(network: nn.Module, name: str) -> bool:
    found = getattr(network, name, None)
    return found is not None and found is not False
