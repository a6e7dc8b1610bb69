r"""Circle loss: each similarity is weighted by how far it is from its optimum.

.. math:: L = \operatorname{mean}_a \log \Big(1 + \sum_{n \in N_a} e^{\gamma w_{an} (s_{an} - m)}
          \sum_{p \in P_a} e^{-\gamma w_{ap} (s_{ap} - 1 + m)}\Big), \quad
          w_{an} = [s_{an} + m]_+, \; w_{ap} = [1 + m - s_{ap}]_+

with cosine similarities :math:`s`; the weights :math:`w` count as constants in the gradient. The
mean runs over the anchors that have both a positive and a negative.

Paper: Y. Sun, C. Cheng, Y. Zhang, C. Zhang, L. Zheng, Z. Wang, Y. Wei, Circle Loss: A Unified
Perspective of Pair Similarity Optimization, CVPR 2020, arXiv 2002.10857. Retrieval of birds, cars
and products: :math:`\gamma` 80, m 0.4; faces: 256, 0.25.

In the wild: one term an anchor, averaged over those above 0 (pytorch-metric-learning), or a single
term whose two sums hold all pairs of the batch (Catalyst).

Our choice: one term an anchor, 80 and 0.4.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection, Uniform, as_pair_mask, masked_mean


class Circle(Loss):
    """Circle loss: soft maxima over similarities, each weighted by its distance from the optimum.

    Args:
        margin: relaxation, in cosine similarity; positives aim at 1 - margin, negatives at margin.
        gamma: sharpness.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Sun, Cheng, Zhang, Zhang, Zheng, Wang, Wei. Circle Loss: A Unified Perspective of Pair "
        "Similarity Optimization. CVPR 2020. arXiv 2002.10857"
    )
    differences = (
        "One term an anchor, as in pytorch-metric-learning; other code makes one of the whole "
        "batch."
    )
    reducer = "mean over anchors with a positive and a negative"

    def __init__(
        self,
        *,
        margin: Annotated[float, Uniform(0.0, 1.0)] = 0.4,
        gamma: Annotated[float, LogUniform(1.0, 512.0)] = 80.0,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.gamma = gamma

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over anchors with a selected pair of each kind, a scalar, or 0."""
        chosen = as_pair_mask(selection, pairs)
        similarity = pairs.similarity
        with torch.no_grad():
            pull = self.gamma * (1 + self.margin - similarity).clamp_min(0)
            push = self.gamma * (similarity + self.margin).clamp_min(0)
        positive = _log_sum_exp(pull * (1 - self.margin - similarity), chosen.positive)
        negative = _log_sum_exp(push * (similarity - self.margin), chosen.negative)
        total = positive + negative
        counted = chosen.positive.any(1) & chosen.negative.any(1)
        return masked_mean(torch.logaddexp(total, total.new_zeros(())), counted)


def _log_sum_exp(values: Tensor, mask: Tensor) -> Tensor:
    # Finite even if two are added, since a sum over nothing but -inf has a gradient of NaN; and by
    # log_softmax, since on a CPU logsumexp is ten times as slow where most exponentials are 0.
    values = values.masked_fill(~mask, torch.finfo(values.dtype).min / 4)
    top = values.argmax(1, keepdim=True)
    return (values.gather(1, top) - values.log_softmax(1).gather(1, top)).squeeze(1)
