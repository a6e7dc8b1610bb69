"""Hard positives: the furthest positive of every anchor, with all of its negatives.

    all (a, p, n) with  p = argmax_{p in P(a)} d_ap,  n in N(a)

The mirror image of hard negatives: what is chosen is the positive, and the loss decides by its
margin which negatives are within reach. Mislabelled images and outliers are chosen again and again.

In the wild: pytorch-metric-learning's BatchEasyHardMiner with hard positives and all negatives
chooses the same. Another reading is one random negative for each hardest positive; a batch's
negatives are mostly far, so that most of those triplets teach nothing.

Our choice: all negatives, as masks, which need no list of triplets.
"""

from dmlbench import Miner, PairMask, Pairs
from dmlbench_miners.extremes import furthest, only


class HardPositive(Miner):
    """The hardest positive of each anchor with every negative; as triplets, all they span."""

    makes = "pairs"

    def select(self, pairs: Pairs) -> PairMask:
        """Return the masks of hardest positives and of all negatives, each ``[B, M]``."""
        to_positive, positive = furthest(pairs.squared_distance, pairs.positive)
        return PairMask(only(positive, to_positive, pairs.positive), pairs.negative)
