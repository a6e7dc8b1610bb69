"""Easy positives: the nearest positive, with the nearest negative that lies behind it.

    (a, p, n) with  p = argmin_{p in P(a)} d_ap,  n = argmin_{n in N(a), d_an > d_ap} d_an

Paper: H. Xuan, A. Stylianou, R. Pless, Improved Embeddings with Easy Positive Triplet Mining, WACV
2020, arXiv 1904.04370. An image need only be near the most similar one of its class, so that a
class may spread or fall into parts. The choice above is its EPSHN (easy positive, semi-hard
negative).

In the wild: the authors' code takes positives of similarity above 0.9999 for the anchor itself,
which loses duplicates, leaves out anchors whose positive or negative has a similarity below 0, and
mines the hardest negative unless its switch `semi` is set. pytorch-metric-learning's
BatchEasyHardMiner does by default what is done here.

Our choice: the anchor itself is left out by its index, and any similarity will do.
"""

from dmlbench import Miner, Pairs, Triplets
from dmlbench_miners.extremes import exists, nearest


class EasyPositive(Miner):
    """The nearest positive of each anchor, with the nearest negative further than it (EPSHN).

    Anchors without a positive, or without a negative further than it, are left out.
    """

    makes = "triplets"
    paper = (
        "Xuan, Stylianou, Pless: Improved Embeddings with Easy Positive Triplet Mining, WACV 2020, "
        "arXiv 1904.04370"
    )

    def select(self, pairs: Pairs) -> Triplets:
        """Return at most one triplet an anchor, in the order of the anchors."""
        squared_distance = pairs.squared_distance
        to_positive, positive = nearest(squared_distance, pairs.positive)
        behind = pairs.negative & ~(squared_distance <= to_positive[:, None])
        to_negative, negative = nearest(squared_distance, behind)
        (anchor,) = (exists(to_positive) & exists(to_negative)).nonzero(as_tuple=True)
        return Triplets(anchor, positive[anchor], negative[anchor])
