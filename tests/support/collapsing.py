"""Backbones whose embeddings are equal, differ by rounding only, or lie in a narrow cone."""

import torch
from torch import Tensor, nn

from dmlbench import Backbone


class _Network(nn.Module):
    num_features = 65

    def __init__(self, made: str, size: float) -> None:
        super().__init__()
        self.made = made
        self.size = size
        self.layer = nn.Linear(64, 64)
        self.fixed = nn.Parameter(torch.randn(1, 64), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels, ones = images.flatten(1), torch.ones(len(images), 1)
        match self.made:
            case "zero":
                features = torch.zeros(len(images), 65)
            case "dead":
                features = torch.cat([torch.relu(pixels - 1e6), ones], 1)
            case "one image":  # the same sums, at other places of the batch
                features = torch.cat([self.layer(self.fixed.expand(len(images), 64)), ones], 1)
            case "tiny inputs":
                features = torch.cat([self.layer(1 + 1e-7 * pixels), ones], 1)
            case "tiny spread of unit vectors":
                features = nn.functional.normalize(torch.cat([1 + 1e-7 * pixels, ones], 1))
            case "big bias":
                features = torch.cat([pixels, self.size * ones], 1)
            case "narrow spread of unit vectors":
                features = nn.functional.normalize(torch.cat([1 + pixels / self.size, ones], 1))
        return features


class Collapsing(Backbone):
    """A network for images of 8x8 pixels; `size` is the bias over the rest."""

    def __init__(self, *, made: str = "zero", size: float = 1.0) -> None:
        self.made = made
        self.size = size

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return _Network(self.made, self.size)


class FarAway(Backbone):
    """A network for vectors that keeps so little of them that only rounding tells them apart."""

    modality = "vector"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        network = _Far()
        network.num_features = shape[0]
        return network


class _Far(nn.Module):
    def forward(self, vectors: Tensor) -> Tensor:
        return 1 + 1e-8 * vectors
