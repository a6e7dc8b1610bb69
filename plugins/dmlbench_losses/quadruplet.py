r"""Quadruplet loss: a triplet loss, and a weaker push between two other classes.

.. math:: L = \operatorname{mean}_{\ell_1 > 0} \ell_1 + \operatorname{mean}_{\ell_2 > 0} \ell_2,
          \quad \ell_1 = [d_{ap} - d_{an} + m_1]_+, \quad \ell_2 = [d_{ap} - d_{nk} + m_2]_+

with :math:`d_{ij} = \lVert x_i - x_j \rVert` of unit vectors, one term of each kind for every
triplet (a, p, n). The fourth item k is the one nearest to n among the anchors of the batch whose
class is neither that of a nor that of n. A triplet without such a k has no second term.

Paper: W. Chen, X. Chen, J. Zhang, K. Huang, Beyond Triplet Loss: a Deep Quadruplet Network for
Person Re-identification, CVPR 2017, arXiv 1704.01719. It adds up all quadruplets, with the square
of a learned dissimilarity.

In the wild: plain distances, margins 0.2 and 0.2, plain means, k any item but n at random, even one
of its class (Roth et al., ICML 2020, arXiv 2002.08473).

Our choice: plain distances, margins 0.2 and 0.1 (the second push the weaker), distance-weighted
triplets, mean over non-zero; the nearest k, which is deterministic.

How it is computed: k depends on n and the class of a alone, so the second term is a triplet loss
with another distance to the negative. Both are linear once it is known which triplets violate a
margin; these are counted, for a mask B positive pairs at a time: memory O(B M).
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Triplets, Uniform


class Quadruplet(Loss):
    """Quadruplet loss: positives nearer than the anchor's negatives, and than pairs of others.

    A pair mask stands for all triplets that it spans.

    Args:
        margin: by how much the anchor's negative must lie further than its positive.
        second_margin: by how much two items of two other classes must.
    """

    takes = "triplets"
    default_miner = "distance-weighted"
    paper = (
        "Chen, Chen, Zhang, Huang. Beyond Triplet Loss: a Deep Quadruplet Network for Person "
        "Re-identification. CVPR 2017. arXiv 1704.01719"
    )
    differences = (
        "Plain distances of the embeddings, and the nearest second negative only, where the paper "
        "squares a learned dissimilarity and adds all up; Roth et al. draw it at random, also from "
        "the class of the first."
    )
    reducer = "mean over non-zero, both kinds apart"

    def __init__(
        self,
        *,
        margin: Annotated[float, Uniform(0.0, 1.0)] = 0.2,
        second_margin: Annotated[float, Uniform(0.0, 1.0)] = 0.1,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.second_margin = second_margin

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the sum of both means over terms above 0, a scalar; 0 if there is none."""
        with torch.no_grad():
            weight, constant = self._weights(pairs, selection)
        return (weight * pairs.distance).sum() + constant

    def _weights(self, pairs: Pairs, selection: Selection) -> tuple[Tensor, Tensor]:
        """Return the loss as a weight for each distance ``[B, M]`` and a constant."""
        distance = pairs.distance
        pulled, pushed = _violations(distance, distance, selection, self.margin)
        count = pulled.sum()
        weight = (pulled - pushed) / count.clamp_min(1)
        constant = self.margin * count.clamp_max(1)
        # Nearest to n, of another class; and where that is the class of a, of a third.
        to_others = distance.masked_fill(~pairs.negative, torch.inf)
        nearest, first = to_others.min(0)
        same = pairs.labels[:, None] == pairs.labels[first]
        next_nearest, second = to_others.masked_fill_(same, torch.inf).min(0)
        to_fourth = torch.where(same, next_nearest, nearest)
        pulled, pushed = _violations(distance, to_fourth, selection, self.second_margin)
        count = pulled.sum()
        weight += pulled / count.clamp_min(1)
        pushed /= count.clamp_min(1)
        column = torch.arange(distance.shape[1], device=distance.device)
        weight[first, column] -= pushed.masked_fill(same, 0).sum(0)
        weight[second, column] -= pushed.masked_fill(~same, 0).sum(0)
        return weight, constant + self.second_margin * count.clamp_max(1)


def _violations(
    distance: Tensor, to_negative: Tensor, selection: Selection, margin: float
) -> tuple[Tensor, Tensor]:
    """Count the violated triplets that each pair ``[B, M]`` is the positive, the negative of."""
    pulled, pushed = torch.zeros_like(distance), torch.zeros_like(distance)
    if isinstance(selection, Triplets):
        ap, an = (selection.anchor, selection.positive), (selection.anchor, selection.negative)
        violated = (distance[ap] + margin > to_negative[an]).to(distance.dtype)
        pulled.index_put_(ap, violated, accumulate=True)
        pushed.index_put_(an, violated, accumulate=True)
        return pulled, pushed
    # At infinity, what is no negative lies beyond all bounds.
    to_negative = to_negative.masked_fill(~selection.negative, torch.inf)
    anchors, positives = selection.positive.nonzero(as_tuple=True)
    for anchor, positive in zip(
        anchors.split(len(distance)), positives.split(len(distance)), strict=True
    ):
        bound = distance[anchor, positive, None] + margin
        violated = (bound > to_negative[anchor]).to(distance.dtype)
        pulled[anchor, positive] = violated.sum(1)
        pushed.index_add_(0, anchor, violated)
    return pulled, pushed
