"""Small networks and losses whose training is plain arithmetic."""

import numpy as np
import torch
from torch import Tensor, nn

from dmlbench import Loss, Pairs, Sampler
from dmlbench.data.items import Items
from dmlbench.schemas.protocol import Optimiser, Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.training.loop import Recipe, train
from dmlbench.training.objective import Objective, Summand

CPU = torch.device("cpu")
LABELS = np.repeat([7, 3, 9, 5], 6)
ITEMS = Items(np.random.default_rng(0).integers(256, size=(24, 1, 8, 8)).astype(np.uint8), LABELS)
VECTORS = Items(np.random.default_rng(0).random((24, 3), dtype=np.float32), LABELS)


def protocol(*, optimiser: Optimiser | None = None, **changes: object) -> Protocol:
    """Return a protocol of 2 epochs of 3 steps, changed: ``optimiser__lr=1``."""
    usual = {"length__epochs": 2, "length__steps_per_epoch": 3, "batch_size": 8}
    usual |= {"optimiser__class_vectors_lr": "none"}
    changed = load_protocol("small")
    for key, value in (usual | changes).items():
        changed = changed.change(key.replace("__", "."), str(value))
    return changed.model_copy(update={"optimiser": optimiser}) if optimiser else changed


class Uniform(Sampler):
    def batches(self, labels, *, batch_size, steps, rng):
        for _ in range(steps):
            yield rng.choice(len(labels), batch_size)


class Sum(Loss):
    """The gradient of every weight is 1 at each step."""

    takes = "labels"
    normalize = False

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        return pairs.anchors.mean()


class OwnWeight(Sum):
    own_lr_multiple = 50.0
    own_weight_decay = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.tensor(2.0))

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        return super().forward(pairs, selection) + self.own


class Noting(Sum):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Pairs] = []

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        self.given.append(pairs)
        return super().forward(pairs, selection)


class OneWeight(nn.Module):
    """A network whose embeddings are its only weight, and which keeps its inputs."""

    precision = "float32"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.head = nn.Identity()
        self.inputs: list[Tensor] = []

    def features(self, inputs: Tensor) -> Tensor:
        self.inputs.append(inputs.clone())
        return self.weight.expand(len(inputs), 2)


def fit(loss: Loss, seed: int = 0, items: Items = ITEMS, sampler=None, **changes):
    """Train a network of one weight; return it and the mean loss of each epoch."""
    model = OneWeight()
    recipe = Recipe(Objective([Summand(loss)]), sampler or Uniform(), protocol(**changes), seed)
    return model, [training.loss for training in train(model, recipe, items, CPU)]


class Two(nn.Module):
    """A network with a backbone that has batch norm, and a head; a weight of it never learns."""

    precision = "float32"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.backbone[0].bias.requires_grad_(False)
        self.head = nn.Linear(4, 2)

    def features(self, inputs: Tensor) -> Tensor:
        return self.backbone(inputs)


def fit_two(loss: Loss, **changes):
    """Yield the state of a network of two parts before and after each epoch on vectors."""
    model = Two()
    recipe = Recipe(Objective([Summand(loss)]), Uniform(), protocol(**changes), 0)
    yield {name: value.clone() for name, value in model.state_dict().items()}
    for _ in train(model, recipe, VECTORS, CPU):
        yield {name: value.clone() for name, value in model.state_dict().items()}
