"""A loss of each family, with its miner: what a step must get right however a batch is divided."""

import torch
from torch import Tensor, nn

from dmlbench import Backbone
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.determinism import LOSS_STREAM, seed_everything
from dmlbench.data.items import Items
from dmlbench.schemas.trial import Trial
from dmlbench.training.embedder import Embedder
from dmlbench.training.objective import Objective, combine

CLASSES, DIMENSIONS = 4, 6

FAMILIES = {
    "pairs": {"losses": ("multi-similarity",)},
    "all pairs": {"losses": ("contrastive",)},
    "triplets, drawn": {"losses": ("triplet",), "miners": ("random",)},
    "triplets, drawn by distance": {"losses": ("margin",)},
    "ranking": {"losses": ("smooth-ap",)},
    "histograms": {"losses": ("fastap",)},
    "softmax over pairs": {"losses": ("supcon",)},
    "a proxy a class": {"losses": ("proxy-anchor",)},
    "several proxies a class": {"losses": ("soft-triple",)},
    "classification": {"losses": ("arcface",)},
    "memory": {"losses": ("xbm/contrastive",), "settings": {"loss.warmup_steps": "1"}},
    "clusters": {"losses": ("magnet",)},
    "sum with centres": {"losses": ("cross-entropy+0.01*center",)},
    "sum of mined": {"losses": ("triplet+0.5*contrastive",), "miners": ("semi-hard+hdc",)},
    "two views": {"losses": ("vicreg",)},
    "two views of each item": {"losses": ("nt-xent",)},
}
"""Each as fields of a suite."""


def objective_of(trial: Trial) -> Objective:
    """Return what a trial minimises, its own parameters drawn as its seed has it."""
    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"))
    seed_everything(trial.seed, LOSS_STREAM)
    loss = trial.parts["loss"]
    losses, weights = workplace.make_terms(
        "loss", loss, num_classes=CLASSES, embedding_dim=DIMENSIONS
    )
    miners = []
    if "miner" in trial.parts:
        miners, _ = workplace.make_terms("miner", trial.parts["miner"])
    return combine(losses, weights, miners)


class Double(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.double()


class Grouped(Backbone):
    """Convolutions with group norm, which does not mix items, and dropout."""

    def __init__(self, *, dropout: float = 0.0) -> None:
        self.dropout = dropout

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        network = nn.Sequential(
            nn.Conv2d(shape[0], 8, 3, stride=2, padding=1),
            nn.GroupNorm(2, 8),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Conv2d(8, 12, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.Flatten(),
        )
        network.num_features = 12 * -(-shape[1] // 4) * -(-shape[2] // 4)
        return network


def network_of(items: Items, backbone: Backbone) -> Embedder:
    """Return a network that computes features in float64, so that sums in any order are alike."""
    torch.manual_seed(0)
    model = Embedder(backbone, items, DIMENSIONS)
    model.backbone = nn.Sequential(Double(), model.backbone.double())
    return model


def gradients(model: nn.Module, objective: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the gradient of each weight that has one."""
    named = [*model.named_parameters("network"), *objective.named_parameters("objective")]
    return {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


def distance(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return how far gradients are from the expected ones, relative to their length.

    Taken together: some are zero but for rounding, as that of a bias which the loss does not see.
    """
    assert found.keys() == expected.keys()
    both = [torch.cat([some[name].flatten() for name in expected]) for some in (found, expected)]
    return float((both[0] - both[1]).double().norm() / both[1].double().norm())
