r"""Quadruplet loss: a triplet loss, and a weaker push between two other classes.

.. math:: L = \operatorname{mean}_{\ell_1 > 0} \ell_1 + \operatorname{mean}_{\ell_2 > 0} \ell_2,
          \quad \ell_1 = [d_{ap} - d_{an} + m_1]_+, \quad \ell_2 = [d_{ap} - d_{nk} + m_2]_+

with :math:`d_{ij} = \lVert x_i - x_j \rVert` of unit vectors, one term of each kind for every
triplet (a, p, n). The fourth item k is the anchor of the batch nearest to n whose class is neither
that of a nor that of n. A triplet without such a k has no second term.

Paper: W. Chen, X. Chen, J. Zhang, K. Huang, Beyond Triplet Loss: a Deep Quadruplet Network for
Person Re-identification, CVPR 2017, arXiv 1704.01719. It adds up all quadruplets, with the square
of a learned dissimilarity.

In the wild: plain distances, margins 0.2 and 0.2, plain means, k any item but n at random, even one
of its class (Roth et al., ICML 2020, arXiv 2002.08473).

Our choice: plain distances, margins 0.2 and 0.1 (the second push is weaker), distance-weighted
triplets, mean over non-zero; the nearest k, which is deterministic.

How it is computed: k depends on n and the class of a alone, so the second term is a triplet loss
with another distance to the negative. It is the nearest of another class than n's, or where that
has the class of a, the nearest of a third one. Both terms are linear once it is known which
triplets violate a margin; these are counted, in the case of a mask for B positive pairs at a time:
memory O(B M).
"""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from dmlbench import Loss, PairMask, Pairs, Selection, Triplets, Uniform
from dmlbench_losses.dense import is_above, weighted_distance


class _Fourth(NamedTuple):
    """The nearest anchors ``[M]`` of the second and third classes, and how far they are."""

    nearest: Tensor
    first: Tensor
    next_nearest: Tensor
    second: Tensor


class Quadruplet(Loss):
    """Quadruplet loss: positives nearer than the anchor's negatives, and than other pairs.

    A pair mask stands for all triplets that it spans.

    Args:
        margin: by how much the anchor's negative must lie further than its positive.
        second_margin: by how much further two items of two other classes must lie apart.
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
            if isinstance(selection, Triplets):
                weight, constant = self._in_list(pairs, selection, _fourth(pairs))
            else:
                weight, constant = self._in_mask(pairs, selection, _fourth(pairs))
        return weighted_distance(pairs, weight) + constant

    def _in_list(self, pairs: Pairs, triplets: Triplets, fourth: _Fourth) -> tuple[Tensor, Tensor]:
        """Return the loss as a weight for each distance ``[B, M]`` and a constant."""
        distance = pairs.distance
        anchor, positive, negative = triplets.anchor, triplets.positive, triplets.negative
        first = fourth.first[negative]
        same = pairs.labels[anchor] == pairs.labels[first]
        to_fourth = torch.where(same, fourth.next_nearest[negative], fourth.nearest[negative])
        other = torch.where(same, fourth.second[negative], first)
        to_positive = distance[anchor, positive]
        weight, constant = torch.zeros_like(distance), distance.new_zeros(())
        for margin, pushed, to_pushed in (
            (self.margin, anchor, distance[anchor, negative]),
            (self.second_margin, other, to_fourth),
        ):
            violated = is_above(to_positive + margin, to_pushed)
            count = violated.sum()
            share = violated / count.clamp_min(1)
            weight.index_put_((anchor, positive), share, accumulate=True)
            weight.index_put_((pushed, negative), -share, accumulate=True)
            constant += margin * count.clamp_max(1)
        return weight, constant

    def _in_mask(self, pairs: Pairs, chosen: PairMask, fourth: _Fourth) -> tuple[Tensor, Tensor]:
        """Return the same, for every selected positive with every selected negative."""
        distance = pairs.distance
        pulled, pushed = _violations(distance, distance, chosen, self.margin)
        count = pulled.sum()
        weight = pulled.sub_(pushed).div_(count.clamp_min(1))
        constant = self.margin * count.clamp_max(1)
        same = pairs.labels[:, None] == pairs.labels[fourth.first]
        to_fourth = torch.where(same, fourth.next_nearest, fourth.nearest)
        pulled, pushed = _violations(distance, to_fourth, chosen, self.second_margin)
        count = pulled.sum()
        weight += pulled.div_(count.clamp_min(1))
        pushed /= count.clamp_min(1)
        column = torch.arange(distance.shape[1], device=distance.device)
        weight[fourth.first, column] -= pushed.masked_fill(same, 0).sum(0)
        weight[fourth.second, column] -= pushed.masked_fill(~same, 0).sum(0)
        return weight, constant + self.second_margin * count.clamp_max(1)


def _fourth(pairs: Pairs) -> _Fourth:
    to_others = torch.where(pairs.negative, pairs.distance, torch.inf)
    nearest, first = _nearest(to_others)
    to_others.masked_fill_(pairs.labels[:, None] == pairs.labels[first], torch.inf)
    return _Fourth(nearest, first, *_nearest(to_others))


def _nearest(distance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least distance of each column and its row, each ``[M]``; the first of several."""
    nearest = distance.amin(0)  # and not min, which along columns is 3 times as slow as all this
    rows = len(distance)
    from_below = torch.arange(rows, 0, -1, dtype=torch.float32, device=distance.device)
    found = torch.eq(distance, nearest, out=torch.empty_like(distance, dtype=torch.float32))
    place = found.mul_(from_below[:, None]).amax(0)
    return nearest, (rows - place.long()).clamp_max_(rows - 1)  # NaN equals nothing


def _violations(
    distance: Tensor, to_negative: Tensor, chosen: PairMask, margin: float
) -> tuple[Tensor, Tensor]:
    """Count the violated triplets that each pair ``[B, M]`` is the positive, the negative of."""
    pulled, pushed = torch.zeros_like(distance), torch.zeros_like(distance)
    # At infinity, what is no negative lies beyond all bounds.
    to_negative = torch.where(chosen.negative, to_negative, torch.inf)
    anchors, positives = chosen.positive.nonzero(as_tuple=True)
    for anchor, positive in zip(
        anchors.split(len(distance)), positives.split(len(distance)), strict=True
    ):
        bound = distance[anchor, positive, None] + margin
        violated = torch.lt(to_negative[anchor], bound).to(distance.dtype)
        pulled[anchor, positive] = violated.sum(1)
        pushed.index_add_(0, anchor, violated)
    return pulled, pushed
