r"""Histogram loss: how probable it is that a negative pair is more similar than a positive one.

.. math:: L = \sum_{r = 0}^{R} h^-_r \sum_{q \le r} h^+_q, \quad
          h_r = \frac{1}{|S|} \sum_{(i, j) \in S}
          \Big[1 - \frac{|s_{ij} - t_r|}{\Delta}\Big]_+, \quad
          t_r = -1 + r \Delta, \quad \Delta = 2 / R

with cosine similarities :math:`s` and one histogram for all positive pairs of the batch, one for
all negative pairs: each pair is shared by the two nodes :math:`t` around it.

Paper: E. Ustinova, V. Lempitsky, Learning Deep Embeddings with Histogram Loss, NIPS 2016, arXiv
1611.00822. The number of bins is its only parameter, to which it reports a low sensitivity; the
authors' published configuration (CUHK03, batches of 128) has :math:`\Delta` 0.01, 200 bins.

In the wild: 100 bins in pytorch-metric-learning; 65 on CUB and Cars, 11 on SOP in Roth et al. (ICML
2020, arXiv 2002.08473). pytorch-metric-learning has no node beyond a similarity of exactly 1, as
duplicates have: it fails on them.

Our choice: 200 bins. A similarity of exactly 1, or beyond it by rounding, belongs to the last node.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import IntUniform, Loss, Pairs, Selection, as_pair_mask


class Histogram(Loss):
    """Histogram loss: the overlap of the similarities of positive and negative pairs.

    Args:
        bins: of the histograms, over similarities from -1 to 1.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Ustinova, Lempitsky. Learning Deep Embeddings with Histogram Loss. NIPS 2016. "
        "arXiv 1611.00822"
    )
    differences = (
        "pytorch-metric-learning has 100 bins and fails on duplicates, a similarity of exactly 1, "
        "which belong to the last node here."
    )
    reducer = "mean over all positive with all negative pairs"

    def __init__(self, *, bins: Annotated[int, IntUniform(2, 1000)] = 200) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the probability, a scalar; 0 if no positive or no negative is selected."""
        chosen = as_pair_mask(selection, pairs)
        positive = self._histogram(pairs.similarity[chosen.positive])
        negative = self._histogram(pairs.similarity[chosen.negative])
        return negative @ positive.cumsum(0)

    def _histogram(self, similarity: Tensor) -> Tensor:
        """Return the share of the values ``[n]`` at each node ``[bins + 1]``."""
        place = ((similarity + 1) * (self.bins / 2)).clamp(0, self.bins)
        lower = place.detach().nan_to_num(0).long().clamp_max_(self.bins - 1)
        number = torch.bincount(lower, minlength=self.bins + 1)
        moved = place.new_zeros(self.bins + 1).scatter_add(0, lower, place - lower)
        # What is moved out of a node arrives at the next one; the last has nothing to move.
        return (number - moved + moved.roll(1)) / max(len(place), 1)
