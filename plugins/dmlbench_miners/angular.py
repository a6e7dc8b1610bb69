"""Angular triplets: those whose negative sees anchor and positive at a wide angle.

    all (a, p, n) with  atan( d_ap / (2 |x_n - x_c|) ) > angle,  x_c = (x_a + x_p) / 2

The angle is that at the negative in the right-angled triangle which the angular loss puts in place
of (a, p, n): the circle around the middle c of a and p has the diameter d_ap. Unlike a margin it
does not change with the scale of the embeddings.

Paper: J. Wang, F. Zhou, S. Wen, X. Liu, Y. Lin, Deep Metric Learning with Angular Loss, ICCV 2017,
arXiv 1708.01682, which defines the angle; it bounds it by a loss and mines nothing.

In the wild: pytorch-metric-learning's AngularMiner, 20 degrees; the angular loss is used with
bounds of 40 (there) to 45 degrees.

Our choice: the same miner, 20 degrees. It takes embeddings as they are, of length 1 or not.
"""

import math
from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Miner, Pairs, Triplets, Uniform
from dmlbench_miners.listing import list_triplets


class Angular(Miner):
    """Every triplet with an angle at the negative above a bound.

    Args:
        angle: the bound in degrees.
    """

    makes = "triplets"
    paper = (
        "Wang, Zhou, Wen, Liu, Lin: Deep Metric Learning with Angular Loss, ICCV 2017, "
        "arXiv 1708.01682"
    )

    def __init__(self, *, angle: Annotated[float, Uniform(5.0, 60.0)] = 20.0) -> None:
        self.angle = angle

    def select(self, pairs: Pairs) -> Triplets:
        """Return all such triplets in the order of anchor, positive and negative."""
        four_square_tangents = 4 * math.tan(math.radians(self.angle)) ** 2
        norms = pairs.references.square().sum(1)

        def seen_wide(anchor: Tensor, positive: Tensor) -> Tensor:
            centre = (pairs.anchors[anchor] + pairs.references[positive]) / 2
            reach = pairs.squared_distance[anchor, positive] / four_square_tangents
            # Squared distances to the centre, less its squared norm, as is the limit.
            to_centre = torch.addmm(norms, centre, pairs.references.T, alpha=-2)
            limit = (reach - centre.square().sum(1))[:, None]
            # A negated comparison keeps NaN, so that the loss notices it.
            return pairs.negative.index_select(0, anchor) & ~(to_centre >= limit)

        return list_triplets(pairs, seen_wide)
