"""Batch-hard triplets: the furthest positive and the nearest negative of every anchor.

    (a, argmax_{p in P(a)} d_ap, argmin_{n in N(a)} d_an)

Hermans, Beyer and Leibe, In Defense of the Triplet Loss for Person Re-Identification, 2017,
arXiv 1703.07737. One triplet an anchor, so a batch of B images gives at most B triplets. From a
random start or with a high learning rate it tends to collapse all embeddings to one point, where
the triplet loss stays at exactly its margin.
"""

from dmlbench import Miner, Pairs, Triplets
from dmlbench_miners.extremes import exists, furthest, nearest


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
        to_positive, positive = furthest(pairs.squared_distance, pairs.positive)
        to_negative, negative = nearest(pairs.squared_distance, pairs.negative)
        (anchor,) = (exists(to_positive) & exists(to_negative)).nonzero(as_tuple=True)
        return Triplets(anchor, positive[anchor], negative[anchor])
