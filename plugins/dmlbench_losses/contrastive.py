r"""Contrastive loss on Euclidean distance.

.. math:: L = \operatorname{mean}_{(i, j) \in P^+} (d_{ij} - m_p)
          + \operatorname{mean}_{(i, j) \in N^+} (m_n - d_{ij})

with :math:`d_{ij} = \lVert x_i - x_j \rVert` of unit vectors. The means run over the positive
(:math:`P^+`) and the negative pairs (:math:`N^+`) whose term is above 0, each kind by itself: the
few positives of a batch weigh as much as its many negatives.

Paper: R. Hadsell, S. Chopra, Y. LeCun, Dimensionality Reduction by Learning an Invariant Mapping,
CVPR 2006 (no arXiv id). It squares both terms (:math:`d^2 / 2` and :math:`[m - d]_+^2 / 2`), has
:math:`m_p = 0` and adds all pairs up.

In the wild: plain, unsquared terms with margins 0 and 1 (pytorch-metric-learning; Roth et al.,
ICML 2020, arXiv 2002.08473), averaged over all pairs or over non-zero ones; on cosine similarity
the margins mean something else, :math:`[m_p - s]_+ + [s - m_n]_+` with 1 and 0 to 0.5.

Our choice: distances, unsquared, margins 0 and 1, all pairs, mean over non-zero.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Uniform, as_pair_mask
from dmlbench_losses.dense import (
    as_numbers,
    is_above,
    is_below,
    weighted_distance,
    without_duplicates,
)


class Contrastive(Loss):
    """Contrastive loss: positives nearer than one margin, negatives farther than another.

    Args:
        pos_margin: distance below which a positive costs nothing (unit vectors: 0 to 2).
        neg_margin: distance above which a negative costs nothing.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Hadsell, Chopra, LeCun. Dimensionality Reduction by Learning an Invariant Mapping. "
        "CVPR 2006"
    )
    differences = (
        "Plain distances and means over the pairs that cost something, where the paper squares "
        "and adds all up."
    )
    reducer = "mean over non-zero, positives and negatives apart"

    def __init__(
        self,
        *,
        pos_margin: Annotated[float, Uniform(0.0, 2.0)] = 0.0,
        neg_margin: Annotated[float, Uniform(0.0, 2.0)] = 1.0,
    ) -> None:
        super().__init__()
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the loss of the selected pairs, a scalar; 0 if none is selected."""
        chosen = as_pair_mask(selection, pairs)
        with torch.no_grad():  # The loss is linear in the distances, once its terms are known.
            distance = pairs.distance
            pulled = chosen.positive
            if self.pos_margin == 0:
                pulled = without_duplicates(pulled, pairs)
            positive = as_numbers(pulled, distance)
            negative = as_numbers(chosen.negative, distance)
            positive.mul_(is_above(distance, self.pos_margin))
            negative.mul_(is_below(distance, self.neg_margin))
            positives, negatives = positive.sum(), negative.sum()
            weight = positive.div_(positives.clamp_min(1))
            weight.sub_(negative.div_(negatives.clamp_min(1)))
            margins = self.neg_margin * negatives.clamp_max(1)
            margins -= self.pos_margin * positives.clamp_max(1)
        return weighted_distance(pairs, weight) + margins
