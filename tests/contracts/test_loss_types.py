"""A loss may say which selection it takes, to type checkers alone."""

import torch
from torch import Tensor

from dmlbench import Loss, Pairs, Triplets
from dmlbench.components.entry_points import Entry
from dmlbench.components.hyperparameters import hyperparameters
from dmlbench.components.importing import check_kind


class Plain(Loss):
    """Says nothing."""

    takes = "triplets"
    default_miner = "batch-hard"

    def __init__(self, *, margin: float = 0.5):
        super().__init__()
        self.margin = margin

    def forward(self, pairs: Pairs, selection: Triplets) -> Tensor:
        apart = pairs.similarity[selection.anchor, selection.negative]
        return (apart - pairs.similarity[selection.anchor, selection.positive] + self.margin).mean()


class Typed(Loss[Triplets]):
    """Says that it takes triplets."""

    takes = "triplets"
    default_miner = "batch-hard"

    def __init__(self, *, margin: float = 0.5):
        super().__init__()
        self.margin = margin

    def forward(self, pairs: Pairs, selection: Triplets) -> Tensor:
        return Plain.forward(self, pairs, selection)


def test_a_loss_that_names_its_selection_is_a_loss_like_any_other():
    check_kind(Entry("loss", "typed", "", "", "typed"), Typed)
    assert hyperparameters(Typed) == hyperparameters(Plain)
    embeddings = torch.nn.functional.normalize(torch.arange(12.0).reshape(4, 3).cos())
    pairs = Pairs(embeddings, torch.tensor([0, 0, 1, 1]))
    chosen = Triplets(*torch.tensor([[0, 1], [1, 0], [2, 3]]))
    assert torch.equal(Typed()(pairs, chosen), Plain()(pairs, chosen))
