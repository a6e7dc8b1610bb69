r"""Intra-pair variance: pairs on the wrong side of the mean of their kind are pulled towards it.

.. math:: L = \operatorname{mean}_{(a, p)} \big[(1 - \epsilon) \mu^+ - s_{ap}\big]_+^2
          + \operatorname{mean}_{(a, n)} \big[s_{an} - (1 + \epsilon) \mu^-\big]_+^2

with cosine similarities :math:`s` and their means :math:`\mu^+` and :math:`\mu^-` over all positive
and over all negative pairs. It is no loss by itself: nothing in it keeps the means apart.

Paper: B. Yu, D. Tao, Deep Metric Learning with Tuplet Margin Loss, ICCV 2019 (no arXiv id), which
adds it to the tuplet margin loss. :math:`\epsilon` 0.01 for both kinds.

In the wild: the same in pytorch-metric-learning, whose documentation weighs it by 0.5.

Our choice: the same; the gradient also flows through both means.
"""

from typing import Annotated

from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Uniform, as_pair_mask


class IntraPairVariance(Loss):
    """Intra-pair variance: a regulariser of the spread of similarities about their means.

    Args:
        pos_eps: fraction of their mean by which positives may fall short of it at no cost.
        neg_eps: fraction of their mean by which negatives may exceed it at no cost.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = "Yu, Tao. Deep Metric Learning with Tuplet Margin Loss. ICCV 2019"
    differences = (
        "The weight beside the tuplet margin loss, 0.5, is that of pytorch-metric-learning's "
        "documentation."
    )
    trained_as = "tuplet-margin+0.5*intra-pair-variance"
    reducer = "mean, positives and negatives apart"

    def __init__(
        self,
        *,
        pos_eps: Annotated[float, Uniform(0.0, 0.5)] = 0.01,
        neg_eps: Annotated[float, Uniform(0.0, 0.5)] = 0.01,
    ) -> None:
        super().__init__()
        self.pos_eps = pos_eps
        self.neg_eps = neg_eps

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the loss of the selected pairs, a scalar; 0 if none is selected."""
        chosen = as_pair_mask(selection, pairs)
        positive = pairs.similarity[chosen.positive]
        low = (1 - self.pos_eps) * positive.sum() / max(len(positive), 1)
        pull = (low - positive).clamp_min(0).square().sum() / max(len(positive), 1)
        # By multiplication, which is faster than filling in zeros, as nearly all are negatives.
        negative = chosen.negative.to(positive.dtype)
        count = negative.sum().clamp_min(1)
        high = (1 + self.neg_eps) * (pairs.similarity * negative).sum() / count
        push = ((pairs.similarity - high).clamp_min(0).square() * negative).sum() / count
        return pull + push
