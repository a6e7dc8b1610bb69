"""Hard pairs: the furthest positive and the nearest negative of every anchor, each by itself.

    (a, argmax_{p in P(a)} d_ap)  and  (a, argmin_{n in N(a)} d_an)

Paper: the pairs of batch-hard triplets (A. Hermans, L. Beyer, B. Leibe, In Defense of the Triplet
Loss for Person Re-Identification, 2017, arXiv 1703.07737), for losses on pairs.

In the wild: taken from triplets, an anchor without a positive loses its negative too and the
reverse (pytorch-metric-learning's BatchHardMiner); open-metric-learning's PairsMiner counts a pair
once if it is the hardest from both ends.

Our choice: a pair needs no partner, and counts for each anchor.
"""

from dmlbench import Miner, PairMask, Pairs
from dmlbench_miners.extremes import furthest, nearest, only


class HardPairs(Miner):
    """The hardest positive pair and the hardest negative pair of each anchor."""

    makes = "pairs"
    paper = (
        "Hermans, Beyer, Leibe: In Defense of the Triplet Loss for Person Re-Identification, 2017, "
        "arXiv 1703.07737"
    )

    def select(self, pairs: Pairs) -> PairMask:
        """Return masks ``[B, M]`` of at most one positive and one negative a row."""
        to_positive, positive = furthest(pairs.squared_distance, pairs.positive)
        to_negative, negative = nearest(pairs.squared_distance, pairs.negative)
        return PairMask(
            only(positive, to_positive, pairs.positive), only(negative, to_negative, pairs.negative)
        )
