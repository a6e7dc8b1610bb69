"""Semi-hard triplets: the negative is further than the positive, but within the margin.

    all (a, p, n) with  d_ap < d_an < d_ap + margin

Schroff, Kalenichenko and Philbin, FaceNet: A Unified Embedding for Face Recognition and Clustering,
CVPR 2015, arXiv 1503.03832. They measure by the squared distance and take their negatives from
large batches; here d is the Euclidean distance itself, as in most code since, and every semi-hard
triplet of the batch is taken. Their margin of 0.2 is one of about 0.2 / (2 d) here.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Miner, Pairs, Triplets, Uniform
from dmlbench_miners.listing import list_triplets


class SemiHard(Miner):
    """Every triplet whose negative is further than the positive by less than the margin.

    Args:
        margin: width of the band of distances behind the positive that negatives come from.
    """

    makes = "triplets"
    paper = (
        "Schroff, Kalenichenko, Philbin: FaceNet: A Unified Embedding for Face Recognition and "
        "Clustering, CVPR 2015, arXiv 1503.03832"
    )

    def __init__(self, *, margin: Annotated[float, Uniform(0.0, 1.0)] = 0.2) -> None:
        self.margin = margin

    def select(self, pairs: Pairs) -> Triplets:
        """Return all semi-hard triplets in the order of anchor, positive and negative."""
        distance = pairs.distance
        to_negatives = distance.masked_fill(~pairs.negative, torch.inf)

        def within_margin(anchor: Tensor, positive: Tensor) -> Tensor:
            # NaN is taken too, so that the loss notices it; without negatives it stays infinite.
            to_positive = distance[anchor, positive].nan_to_num(nan=0)
            behind = to_negatives.index_select(0, anchor).sub_(to_positive[:, None])
            return (behind <= 0).logical_or_(behind >= self.margin).logical_not_()

        return list_triplets(pairs, within_margin)
