"""Hard triplets: every one whose negative is nearer to the anchor than its positive.

    all (a, p, n) with  d_an < d_ap

What a ranking by distance gets wrong, and nothing else. A converged batch holds hardly any, so few
pairs carry the whole loss; the semi-hard triplets are those that follow, within a margin.

In the wild: pytorch-metric-learning's TripletMarginMiner of type "hard" takes d_an = d_ap too,
which matters where distances are equal: from collapsed embeddings it takes every triplet.

Our choice: strictly nearer.
"""

import torch
from torch import Tensor

from dmlbench import Miner, Pairs, Triplets
from dmlbench_miners.listing import list_triplets


class HardTriplets(Miner):
    """Every triplet whose negative is nearer than the positive."""

    makes = "triplets"

    def select(self, pairs: Pairs) -> Triplets:
        """Return all hard triplets in the order of anchor, positive and negative."""
        squared_distance = pairs.squared_distance
        to_negatives = squared_distance.masked_fill(~pairs.negative, torch.inf)

        def nearer(anchor: Tensor, positive: Tensor) -> Tensor:
            # A negated comparison keeps NaN, so that the loss notices it.
            to_positive = squared_distance[anchor, positive].nan_to_num(nan=0)
            return ~(to_negatives.index_select(0, anchor) >= to_positive[:, None])

        return list_triplets(pairs, nearer)
