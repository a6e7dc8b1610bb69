"""Batch-hard triplets: the furthest positive and the nearest negative of every anchor.

    (a, argmax_{p in P(a)} d_ap, argmin_{n in N(a)} d_an)

Hermans, Beyer and Leibe, In Defense of the Triplet Loss for Person Re-Identification, 2017,
arXiv 1703.07737. One triplet an anchor, so a batch of B images teaches by at most B triplets. From
a random start or with a high learning rate it tends to collapse all embeddings to one point, where
the triplet loss stays at exactly its margin.
"""

import torch

from dmlbench import Miner, Pairs, Triplets


class BatchHard(Miner):
    """The hardest positive and the hardest negative of each anchor.

    Anchors without a positive or without a negative are left out.
    """

    makes = "triplets"
    paper = (
        "Hermans, Beyer, Leibe: In Defense of the Triplet Loss for Person Re-Identification, 2017, "
        "arXiv 1703.07737"
    )

    def select(self, pairs: Pairs) -> Triplets:
        """Return at most one triplet an anchor, in the order of the anchors."""
        squared_distance = pairs.squared_distance
        hardest_positive = squared_distance.masked_fill(~pairs.positive, -torch.inf).argmax(1)
        hardest_negative = squared_distance.masked_fill(~pairs.negative, torch.inf).argmin(1)
        anchor = (pairs.positive.any(1) & pairs.negative.any(1)).nonzero(as_tuple=True)[0]
        return Triplets(anchor, hardest_positive[anchor], hardest_negative[anchor])
