r"""Tuplet margin loss: each positive, with slack on its angle, against all negatives.

.. math:: L = \operatorname{mean}_{(a, p)} \log \Big(1 + \sum_{n \in N_a}
          e^{s (\cos \theta_{an} - \cos(\theta_{ap} - \beta))}\Big)

with the angles :math:`\theta` between embeddings.

Paper: B. Yu, D. Tao, Deep Metric Learning with Tuplet Margin Loss, ICCV 2019 (no arXiv id): slack
:math:`\beta` 0.1 (5.73 degrees), trained together with the intra-pair variance. With the slack no
positive need come nearer than :math:`\beta`.

In the wild: pytorch-metric-learning, scale s 64, takes the arccosine, whose gradient is infinite or
NaN where a positive equals its anchor or its opposite.

Our choice: 64 and 5.73 degrees;
:math:`\cos(\theta - \beta) = \cos\theta \cos\beta + \sin\theta \sin\beta` without the angle itself.
"""

import math
from typing import Annotated

import torch
from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection, Uniform, as_pair_mask


class TupletMargin(Loss):
    """Tuplet margin loss: softmax of scaled cosines, with slack for the positive's angle.

    Args:
        margin: slack in degrees, within which a positive need not come nearer.
        scale: what cosines are multiplied by.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = "Yu, Tao. Deep Metric Learning with Tuplet Margin Loss. ICCV 2019"
    differences = (
        "Positives equal or opposite to their anchor have a finite gradient, which "
        "pytorch-metric-learning has not; the paper trains it together with intra-pair-variance."
    )
    reducer = "mean over positive pairs"

    def __init__(
        self,
        *,
        margin: Annotated[float, Uniform(0.0, 45.0)] = 5.73,
        scale: Annotated[float, LogUniform(1.0, 256.0)] = 64.0,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over the selected positive pairs, a scalar; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        logits = self.scale * pairs.similarity
        negative = _log_sum_exp(logits, chosen.negative)
        anchor, positive = chosen.positive.nonzero(as_tuple=True)
        slackened = self.scale * self._slackened(pairs.similarity[anchor, positive])
        excess = negative[anchor] - slackened
        terms = torch.logaddexp(excess, excess.new_zeros(()))
        return terms.sum() / max(len(terms), 1)

    def _slackened(self, cosine: Tensor) -> Tensor:
        margin = math.radians(self.margin)
        # Keeps the gradient of the sine finite where the angle is 0 or 180 degrees.
        sine = (1 - cosine.square()).clamp_min(torch.finfo(cosine.dtype).eps).sqrt()
        return cosine * math.cos(margin) + sine * math.sin(margin)


def _log_sum_exp(values: Tensor, mask: Tensor) -> Tensor:
    # The lowest finite number, since a sum over nothing but -inf has a gradient of NaN; and by
    # log_softmax, since on a CPU logsumexp is ten times as slow where most exponentials are 0.
    values = values.masked_fill(~mask, torch.finfo(values.dtype).min)
    top = values.argmax(1, keepdim=True)
    return (values.gather(1, top) - values.log_softmax(1).gather(1, top)).squeeze(1)
