"""Multi-similarity mining: pairs that the hardest pair of the other kind comes close to.

    keep negative n of a if  s_an + epsilon > min_{p in P(a)} s_ap
    keep positive p of a if  s_ap - epsilon < max_{n in N(a)} s_an

Wang, Han, Huang, Dong and Scott, Multi-Similarity Loss with General Pair Weighting for Deep Metric
Learning, CVPR 2019, arXiv 1904.06627. The paper sets epsilon to 0.1. The authors' code takes the
anchor itself for a positive unless its similarity is within 1e-5 of 1, which also loses duplicates;
here the anchor is left out by its index.
"""

from typing import Annotated

import torch

from dmlbench import Miner, PairMask, Pairs, Uniform


class MultiSimilarity(Miner):
    """Negatives nearly as similar as the least similar positive, and the reverse.

    An anchor without positives keeps no negative, one without negatives no positive: there is
    nothing to compare with.

    Args:
        epsilon: how far, in similarity, a pair may lie on the right side and still be kept.
    """

    makes = "pairs"
    paper = (
        "Wang, Han, Huang, Dong, Scott: Multi-Similarity Loss with General Pair Weighting for Deep "
        "Metric Learning, CVPR 2019, arXiv 1904.06627"
    )

    def __init__(self, *, epsilon: Annotated[float, Uniform(0.0, 0.5)] = 0.1) -> None:
        self.epsilon = epsilon

    def select(self, pairs: Pairs) -> PairMask:
        """Return the masks of kept positives and kept negatives, each ``[B, M]``."""
        similarity = pairs.similarity
        least_positive = similarity.masked_fill(~pairs.positive, torch.inf).amin(1, keepdim=True)
        most_negative = similarity.masked_fill(~pairs.negative, -torch.inf).amax(1, keepdim=True)
        # Negated comparisons keep NaN, so that the loss notices it.
        easy_positive = similarity >= most_negative + self.epsilon
        easy_negative = similarity <= least_positive - self.epsilon
        return PairMask(pairs.positive & ~easy_positive, pairs.negative & ~easy_negative)
