"""Small components of the kit's own, for a component under test to work with."""

import torch.nn.functional as F
from torch import Tensor

from dmlbench.contracts.components import Loss
from dmlbench.contracts.pairs import PairMask, Pairs, Selection, as_pair_mask, masked_mean


class PairLoss(Loss):
    """A loss for another loss to wrap: smooth, on similarities, without parameters."""

    takes = "pairs"
    default_miner = "all-pairs"

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        """Return the mean over the selected pairs."""
        assert selection is not None  # a loss that takes pairs is given a selection
        chosen = as_pair_mask(selection, pairs)
        apart = masked_mean(F.softplus(4 * pairs.similarity), chosen.negative)
        return apart + masked_mean(F.softplus(-4 * pairs.similarity), chosen.positive)


def all_pairs(pairs: Pairs) -> PairMask:
    """Return every positive and every negative: the selection without any mining."""
    return PairMask(pairs.positive, pairs.negative)
