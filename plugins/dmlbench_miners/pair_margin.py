"""Pair margins: positives further than one distance, negatives nearer than another.

    (a, p) with  d_ap > pos_margin  and  (a, n) with  d_an < neg_margin

A contrastive loss with the same margins is 0 for all other pairs: there, this miner changes only
the divisor of a mean over all selected pairs. For losses on similarities it is a real choice.

In the wild: pytorch-metric-learning's PairMarginMiner has margins of 0.2 and 0.8. Given a cosine
similarity it wants them the other way round; here they are always distances.

Our choice: Euclidean distances, 0.2 and 0.8. Of unit vectors these are similarities of 0.98 and
0.68: an untrained network in many dimensions, whose negatives lie around 1.4, gives no negative.
"""

from typing import Annotated

from dmlbench import Miner, PairMask, Pairs, Uniform


class PairMargin(Miner):
    """Positive pairs beyond one margin and negative pairs within another.

    Args:
        pos_margin: distance that a positive must exceed (unit vectors: 0 to 2).
        neg_margin: distance that a negative must fall short of.
    """

    makes = "pairs"

    def __init__(
        self,
        *,
        pos_margin: Annotated[float, Uniform(0.0, 2.0)] = 0.2,
        neg_margin: Annotated[float, Uniform(0.0, 2.0)] = 0.8,
    ) -> None:
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin

    def select(self, pairs: Pairs) -> PairMask:
        """Return the masks of far positives and of near negatives, each ``[B, M]``."""
        distance = pairs.distance
        # Negated comparisons keep NaN, so that the loss notices it.
        return PairMask(
            pairs.positive & ~(distance <= self.pos_margin),
            pairs.negative & ~(distance >= self.neg_margin),
        )
