r"""Histogram loss: how probable it is that a negative pair is more similar than a positive one.

.. math:: L = \sum_{r = 0}^{R} h^-_r \sum_{q \le r} h^+_q, \quad
          h_r = \frac{1}{|S|} \sum_{(i, j) \in S}
          \Big[1 - \frac{|s_{ij} - t_r|}{\Delta}\Big]_+, \quad
          t_r = -1 + r \Delta, \quad \Delta = 2 / R

with cosine similarities :math:`s` and one histogram for all positive pairs of the batch, one for
all negative pairs: each pair is shared by the two nodes :math:`t` around it.

Paper: E. Ustinova, V. Lempitsky, Learning Deep Embeddings with Histogram Loss, NIPS 2016, arXiv
1611.00822. The number of bins is its only parameter, and the paper reports low sensitivity to it;
the authors' published configuration (CUHK03, batches of 128) has :math:`\Delta` 0.01, 200 bins.

In the wild: 100 bins in pytorch-metric-learning; in Roth et al. (ICML 2020, arXiv 2002.08473) 65
nodes on CUB and Cars, so 64 bins, and 11 on SOP. Their code finds the upper node of a pair by
testing numbers for equality, which holds for all 64 bins, as 1 / 32 is exact in binary, but only
for 4 of 10: elsewhere a pair's share of its upper node is lost. pytorch-metric-learning has no node
beyond a similarity of exactly 1, as duplicates have: it fails on them.

Our choice: 200 bins. A similarity of exactly 1, or beyond it by rounding, belongs to the last node.

How it is computed: a pair moves between two nodes, so its gradient depends only on its bin and on
whether it is positive or negative, and is looked up. The passes over all pairs dominate the cost.
"""

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dmlbench import IntUniform, Loss, PairMask, Pairs, Selection, as_pair_mask
from dmlbench_losses.dense import as_numbers


class Histogram(Loss):
    """Histogram loss: the overlap of the similarities of positive and negative pairs.

    Args:
        bins: number of bins of the histograms, over similarities from -1 to 1.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Ustinova, Lempitsky. Learning Deep Embeddings with Histogram Loss. NIPS 2016. "
        "arXiv 1611.00822"
    )
    differences = (
        "pytorch-metric-learning has 100 bins and fails on duplicates, a similarity of exactly 1, "
        "which belong to the last node here. Roth et al. count nodes, one more than bins; with 11 "
        "of them they lose the upper share of pairs in 6 of 10 bins, by testing numbers for "
        "equality."
    )
    reducer = "mean over all positive with all negative pairs"

    def __init__(self, *, bins: Annotated[int, IntUniform(2, 1000)] = 200) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the probability, a scalar; 0 if no positive or no negative is selected."""
        value: Tensor = _Overlap.apply(pairs.similarity, as_pair_mask(selection, pairs), self.bins)
        return value


class _Overlap(torch.autograd.Function):
    """Looks the gradient up where it has found the bins."""

    @staticmethod
    def forward(ctx: Any, similarity: Tensor, chosen: PairMask, bins: int) -> Tensor:
        at_least_single = torch.promote_types(similarity.dtype, torch.float32)
        place = (similarity.to(at_least_single) + 1).mul_(bins / 2).clamp_(0, bins)
        lower = place.floor().clamp_max_(bins - 1).nan_to_num_(0)
        moved = place.sub_(lower)
        # The nodes of three histograms in a row: of pairs not chosen, positives, negatives.
        nodes = bins + 1
        lower.add_(as_numbers(chosen.positive, lower), alpha=nodes)
        lower.add_(as_numbers(chosen.negative, lower), alpha=2 * nodes)
        node = lower.int().flatten()
        count = node.bincount(minlength=3 * nodes).view(3, nodes)
        moved = moved.new_zeros(3 * nodes).index_add_(0, node, moved.flatten()).view(3, nodes)
        # What is moved out of a node arrives at the next one; the last has nothing to move.
        pairs = count.sum(1, keepdim=True).clamp_min(1)
        _, positive, negative = (count - moved + moved.roll(1, 1)) / pairs
        slopes = torch.stack([torch.zeros_like(positive), -negative, positive.roll(-1)])
        slopes = (slopes * (bins / 2) / pairs).to(similarity.dtype).flatten()
        ctx.save_for_backward(slopes.index_select(0, node).view_as(similarity))
        value: Tensor = negative @ positive.cumsum(0)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * change, None, None
