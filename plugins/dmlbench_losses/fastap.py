r"""FastAP: average precision from a soft histogram of each anchor's distances.

.. math:: L = 1 - \operatorname{mean}_a \frac{1}{|P_a|}
          \sum_{z = 0}^{Z} \frac{h^+_{az} H^+_{az}}{H_{az}}, \quad
          h_{az} = \sum_j \Big[1 - \frac{|d_{aj}^2 - 4 z / Z|}{4 / Z}\Big]_+, \quad
          H_{az} = \sum_{y \le z} h_{ay}

with squared distances :math:`d^2` of unit vectors, 0 to 4, in Z bins; :math:`h^+` and :math:`H^+`
count the positives alone, :math:`H` positives and negatives. Items in one bin are tied. Anchors
without a positive are left out.

Paper: F. Cakir, K. He, X. Xia, B. Kulis, S. Sclaroff, Deep Metric Learning to Rank, CVPR 2019 (no
arXiv id). The authors' code has 10 bins and batches of 256, and needs the paper's sampler, batches
from two super-classes each, for the published results.

In the wild: the same in pytorch-metric-learning. The authors' code has the same value, but a
backward pass written by hand: it returns B / 2 times the gradient of the value, for B anchors with
a positive, whatever the loss is multiplied by. Adam does not see the factor, other optimisers and
weighted sums do. Tuned for retrieval, 16 to 27 bins were best (Musgrave et al., ECCV 2020, arXiv
2003.08505).

Our choice: 10 bins, the gradient of the value.

How it is computed: each pair falls between two neighbouring centres, so only its share of the upper
one is added up; no tensor of B M Z entries is needed.
"""

from typing import Annotated

from torch import Tensor

from dmlbench import IntUniform, Loss, Pairs, Selection, as_pair_mask, masked_mean


class FastAP(Loss):
    """FastAP: average precision of each anchor's ranking, by a soft histogram of distances.

    Args:
        bins: number of bins of the histogram, over squared distances from 0 to 4.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = "Cakir, He, Xia, Kulis, Sclaroff. Deep Metric Learning to Rank. CVPR 2019"
    differences = (
        "The gradient is that of the value; the authors' own backward pass gives B / 2 times as "
        "much, B being the anchors with a positive."
    )
    reducer = "mean over anchors with a positive"
    paper_sampler = ("hierarchical", {})

    def __init__(self, *, bins: Annotated[int, IntUniform(2, 200)] = 10) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return 1 - AP, the mean over anchors with a selected positive; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        positive, negative = self._histograms(
            pairs.squared_distance, chosen.positive, chosen.negative
        )
        before = (positive + negative).cumsum(1)
        precision = positive.cumsum(1) / before.where(before > 0, 1)
        number = chosen.positive.sum(1)
        return masked_mean(1 - (positive * precision).sum(1) / number.clamp_min(1), number > 0)

    def _histograms(
        self, squared_distance: Tensor, positive: Tensor, negative: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the soft histograms of both kinds of pairs, each ``[B, bins + 1]``."""
        place = (squared_distance * (self.bins / 4)).clamp(0, self.bins)
        lower = place.detach().nan_to_num(0).long().clamp_max_(self.bins - 1)
        used = (positive | negative).to(place.dtype)
        share = (place - lower) * used
        column = lower.add_(negative, alpha=self.bins + 1)
        empty = place.new_zeros(len(place), 2 * (self.bins + 1))
        moved = empty.scatter_add(1, column, share)
        # What is moved out of a centre arrives at the next one; the last has nothing to move.
        both = empty.scatter_add(1, column, used) - moved + moved.roll(1, dims=1)
        of_positives, of_negatives = both.split(self.bins + 1, dim=1)
        return of_positives, of_negatives
