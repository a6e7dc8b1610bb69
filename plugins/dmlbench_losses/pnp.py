r"""PNP loss: penalises negatives that rank before a positive, the first ones most.

.. math:: L = 1 - \operatorname{mean}_a \frac{1}{|P_a|} \sum_{p \in P_a}
          \frac{1}{(1 + R_{ap})^\alpha}, \quad
          R_{ap} = \sum_{n \in N_a} \sigma\Big(\frac{s_{an} - s_{ap}}{\tau}\Big)

with cosine similarities :math:`s` and the sigmoid :math:`\sigma`: R is a smooth count of the
negatives that are more similar to the anchor than p. Positives that rank before p don't matter, as
they would in average precision.

Paper: Z. Li, W. Min, J. Song, Y. Zhu, L. Kang, X. Wei, X. Wei, S. Jiang, Rethinking the
Optimization of Average Precision: Only Penalizing Negative Instances before Positive Ones is
Enough, AAAI 2022, arXiv 2102.04640. Of its variants this is :math:`D_q`, which it uses;
:math:`\tau` 0.01.

In the wild: :math:`\alpha` is 4 in the run that the authors' code calls its best, and 8 in the
paper according to the documentation of pytorch-metric-learning, whose default is another variant,
the mean of R itself. Both count the anchor among its own positives. All pairs of positives and
negatives at once take memory O(B^3).

Our choice: :math:`D_q` with 4; without the anchor itself; mean over the anchors with a positive.

How it is computed: B positive pairs at a time are compared with all references, which gives the
value and its gradient with respect to the similarities. Memory stays at O(B M); time is that times
the positives per anchor.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import LogUniform, Loss, PairMask, Pairs, Selection, as_pair_mask


class PNP(Loss):
    """PNP loss, variant D_q: a smooth, bounded count of the negatives before each positive.

    Args:
        alpha: how much more the first negatives count than those that follow.
        temperature: of the sigmoid, in cosine similarity.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Li, Min, Song, Zhu, Kang, Wei, Wei, Jiang. Rethinking the Optimization of Average "
        "Precision: Only Penalizing Negative Instances before Positive Ones is Enough. AAAI 2022. "
        "arXiv 2102.04640"
    )
    differences = (
        "Anchors aren't counted among their own positives, as they are in the authors' code and in "
        "pytorch-metric-learning, whose default is another variant, PNP-O."
    )
    reducer = "mean over anchors with a positive"

    def __init__(
        self,
        *,
        alpha: Annotated[float, LogUniform(0.5, 16.0)] = 4.0,
        temperature: Annotated[float, LogUniform(0.001, 1.0)] = 0.01,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.temperature = temperature

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over anchors with a selected positive, a scalar; 0 if there is none."""
        similarity = pairs.similarity
        with torch.no_grad():
            value, gradient = self._value_and_gradient(similarity, as_pair_mask(selection, pairs))
        linear = (gradient * similarity).sum()
        return value + (linear - linear.detach())  # 0, with the gradient found above

    def _value_and_gradient(self, similarity: Tensor, chosen: PairMask) -> tuple[Tensor, Tensor]:
        """Return the loss and its gradient for the similarities ``[B, M]``."""
        positives = chosen.positive.sum(1)
        share = 1 / (positives.clamp_min(1) * (positives > 0).sum()).to(similarity.dtype)
        value, gradient = similarity.new_zeros(()), torch.zeros_like(similarity)
        anchors, columns = chosen.positive.nonzero(as_tuple=True)
        for anchor, positive in zip(
            anchors.split(len(similarity)), columns.split(len(similarity)), strict=True
        ):
            excess = similarity[anchor].sub_(similarity[anchor, positive, None])
            before = excess.div_(self.temperature).sigmoid_().mul_(chosen.negative[anchor])
            count = 1 + before.sum(1)
            value += (share[anchor] * (1 - count**-self.alpha)).sum()
            slope = share[anchor] * self.alpha / self.temperature * count ** (-self.alpha - 1)
            by_negative = before.addcmul_(before, before, value=-1).mul_(slope[:, None])
            gradient.index_add_(0, anchor, by_negative)
            gradient[anchor, positive] -= by_negative.sum(1)
        return value, gradient
