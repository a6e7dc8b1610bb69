"""What tests of backbones share: networks made from a seed, their features, weights in a file."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


def built(backbone, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return backbone.build(shape)


def features(network: nn.Module, *shape: int, seed: int = 0) -> torch.Tensor:
    inputs = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return network.eval()(inputs)


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def timm_network(name: str, seed: int, **arguments) -> nn.Module:
    import timm

    torch.manual_seed(seed)
    return timm.create_model(name, **arguments)


def save_weights(weights: dict[str, torch.Tensor], path: Path) -> str:
    weights = {name: weight.contiguous() for name, weight in weights.items()}
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights, "epoch": 3}, path)
    return str(path)
