"""Semi-hard triplets: the negative is further than the positive, but within the margin.

    all (a, p, n) with  d_ap < d_an < d_ap + margin

Schroff, Kalenichenko and Philbin, FaceNet: A Unified Embedding for Face Recognition and Clustering,
CVPR 2015, arXiv 1503.03832. They measure by the squared distance and take their negatives from
large batches; here d is the Euclidean distance itself, as in most code since, and every semi-hard
triplet of the batch is taken. Their margin of 0.2 is one of about 0.2 / (2 d) here.
"""

from typing import Annotated

import torch

from dmlbench import Miner, Pairs, Triplets, Uniform


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
        """Return all semi-hard triplets in the order of anchor, positive and negative.

        B positive pairs at a time meet all references, so memory stays at ``[B, M]`` and the
        passes are as many as an anchor has positives on average.
        """
        distance = pairs.distance
        to_negatives = distance.masked_fill(~pairs.negative, torch.inf)
        found = []
        anchors, positives = pairs.positive.nonzero(as_tuple=True)
        for anchor, positive in zip(
            anchors.split(len(pairs)), positives.split(len(pairs)), strict=True
        ):
            nearest = distance[anchor, positive, None]
            behind = to_negatives[anchor] - nearest
            pair, negative = ((behind > 0) & (behind < self.margin)).nonzero(as_tuple=True)
            found.append(torch.stack((anchor[pair], positive[pair], negative)))
        return Triplets(*torch.cat(found, dim=1))
