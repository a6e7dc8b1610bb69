r"""Triplet loss with a margin on Euclidean distance.

.. math:: L = \operatorname{mean}_{(a, p, n): \ell > 0} \ell, \quad
          \ell = [d_{ap} - d_{an} + m]_+, \quad d_{ij} = \lVert x_i - x_j \rVert

Paper: F. Schroff, D. Kalenichenko, J. Philbin, FaceNet: A Unified Embedding for Face Recognition
and Clustering, CVPR 2015, arXiv 1503.03832. It takes *squared* distances of unit vectors, margin
0.2, all positives with semi-hard negatives, and adds all terms up.

In the wild: plain distances (pytorch-metric-learning, margin 0.05) or squared ones (FaceNet, and
Roth et al., ICML 2020, arXiv 2002.08473, margin 0.2): the same margin is not the same loss. Mean
over all triplets, or over those with a term above 0; the first lets gradients fade as fewer
triplets violate the margin. A value stuck at the margin says that the embeddings have collapsed.

Our choice: plain distances, margin 0.2, semi-hard triplets, mean over non-zero.

How it is computed: the loss is linear in the distances once it is known which triplets violate
the margin. So it is enough to *count* how many each pair is part of, and the loss is one weighted
sum of the distances. No list of all triplets is ever made: time O(B M log P) and memory O(B M) with
P positives an anchor.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, PairMask, Pairs, Selection, Triplets, Uniform
from dmlbench_losses.dense import weighted_distance

_PART = 2**18  # Triplets at a time, so that a long list isn't copied as a whole.


class Triplet(Loss):
    """Triplet loss: each positive nearer to the anchor than each negative, by a margin.

    A pair mask stands for all triplets that it spans.

    Args:
        margin: by how much nearer, in Euclidean distance of unit vectors.
    """

    takes = "triplets"
    default_miner = "semi-hard"
    paper = (
        "Schroff, Kalenichenko, Philbin. FaceNet: A Unified Embedding for Face Recognition and "
        "Clustering. CVPR 2015. arXiv 1503.03832"
    )
    differences = (
        "Plain distances, all semi-hard triplets and the mean over those that cost something, "
        "where the paper has squared distances and a sum; pytorch-metric-learning's margin is "
        "0.05."
    )
    reducer = "mean over non-zero"

    def __init__(self, *, margin: Annotated[float, Uniform(0.0, 1.0)] = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean of the selected triplets' terms above 0, a scalar; 0 if there is none."""
        with torch.no_grad():
            if isinstance(selection, PairMask):
                weight, violated = _violations_in_mask(pairs.distance, selection, self.margin)
            else:
                weight, violated = _violations_in_list(pairs.distance, selection, self.margin)
        return (weighted_distance(pairs, weight) + self.margin * violated) / violated.clamp_min(1)


def _violations_in_list(
    distance: Tensor, triplets: Triplets, margin: float
) -> tuple[Tensor, Tensor]:
    """Count the violated triplets: for each pair ``[B, M]``, and all of them.

    A pair counts +1 where it is the positive, -1 where it is the negative.
    """
    flat, row = distance.flatten(), distance.shape[1]
    weight, count = torch.zeros_like(flat), flat.new_zeros(())
    indices = (triplets.anchor, triplets.positive, triplets.negative)
    for anchor, positive, negative in zip(*(index.split(_PART) for index in indices), strict=True):
        ap = torch.add(positive, anchor, alpha=row)
        an = torch.add(negative, anchor, alpha=row)
        violated = flat.index_select(0, ap).add_(margin).gt_(flat.index_select(0, an))
        count += violated.sum()
        weight.scatter_add_(0, ap, violated)
        weight.scatter_add_(0, an, violated.neg_())
    return weight.view_as(distance), count


def _violations_in_mask(distance: Tensor, chosen: PairMask, margin: float) -> tuple[Tensor, Tensor]:
    """Count as `_violations_in_list`, for every selected positive with every selected negative.

    A triplet is violated if the negative lies nearer than the positive's bound, its distance plus
    the margin. With the bounds of an anchor sorted, a binary search counts those below each
    negative; the counts' cumulative histogram says how many negatives are nearer than each bound.
    """
    positives = chosen.positive.sum(1)
    anchor, positive = chosen.positive.nonzero(as_tuple=True)
    first = positives.cumsum(0) - positives
    column = torch.arange(len(anchor), device=anchor.device) - first[anchor]
    bounds = distance.new_full((len(distance), int(positives.max())), torch.inf)
    bounds[anchor, column] = distance[anchor, positive] + margin
    bounds, order = bounds.sort(1)
    # At infinity, pairs that aren't negatives lie above all bounds and count for none.
    negative_distance = distance.masked_fill(~chosen.negative, torch.inf)
    not_above = torch.searchsorted(bounds, negative_distance, right=True)
    histogram = order.new_zeros(len(bounds), bounds.shape[1] + 1)
    histogram.scatter_add_(1, not_above, torch.ones_like(not_above))
    nearer = torch.empty_like(order).scatter_(1, order, histogram.cumsum(1)[:, :-1])
    violated = nearer[anchor, column].to(distance.dtype)
    weight = (not_above - positives[:, None]).clamp_max_(0).to(distance.dtype)
    weight[anchor, positive] = violated
    return weight, violated.sum()
