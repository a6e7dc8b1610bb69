r"""Ranked list loss: positives within a sphere about the anchor, negatives outside a larger one.

.. math:: L = \operatorname{mean}_a \Big[ \frac{1 - \lambda}{|P_a^*|} \sum_{p \in P_a^*}
          (d_{ap} - \alpha + m) + \lambda \sum_{n \in N_a^*} w_{an} (\alpha - d_{an}) \Big], \quad
          w_{an} = \frac{e^{T (\alpha - d_{an})}}{\sum_{k \in N_a^*} e^{T (\alpha - d_{ak})}}

with :math:`d_{ij} = \lVert x_i - x_j \rVert` of unit vectors, :math:`P_a^*` the positives further
than :math:`\alpha - m` and :math:`N_a^*` the negatives nearer than :math:`\alpha`. The weights
:math:`w` count as constants in the gradient: the nearest negatives are pushed hardest.

Paper: X. Wang, Y. Hua, E. Kodirov, G. Hu, R. Garnier, N. M. Robertson, Ranked List Loss for Deep
Metric Learning, CVPR 2019, arXiv 1903.03238. It adds both parts with weight 1 each. The gradient of
a term reaches only its anchor; the gallery counts as constant.

In the wild: a run that the authors released is named for T 10 and a gap of 0.4 (``T10_pn04``);
pytorch-metric-learning takes :math:`\lambda` 0.5 and :math:`\alpha = 1 + m / 2` by default, lets
the gradient flow through the weights too, and adds 1e-5 for every pair to the sum of the weights.

Our choice: :math:`\lambda` 0.5, T 10, m 0.4, :math:`\alpha` 1.2; gradients to both items of a pair;
mean over the anchors that have a selected pair.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Uniform, as_pair_mask, masked_mean


class RankedList(Loss):
    """Ranked list loss: a sphere for the positives, and a gap to the negatives around it.

    Args:
        alpha: distance beyond which a negative costs nothing.
        margin: width of the gap; positives nearer than alpha - margin cost nothing.
        temperature: how much more the nearer negatives weigh (a factor in the exponent).
        imbalance: share of the negatives in the loss.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Wang, Hua, Kodirov, Hu, Garnier, Robertson. Ranked List Loss for Deep Metric Learning. "
        "CVPR 2019. arXiv 1903.03238"
    )
    differences = (
        "Both items of a pair receive a gradient, where the paper's gallery is constant; "
        "pytorch-metric-learning differentiates the weights too, and its weights sum to less than "
        "1."
    )
    reducer = "mean over anchors"

    def __init__(
        self,
        *,
        alpha: Annotated[float, Uniform(0.5, 2.0)] = 1.2,
        margin: Annotated[float, Uniform(0.0, 1.0)] = 0.4,
        temperature: Annotated[float, Uniform(0.0, 50.0)] = 10.0,
        imbalance: Annotated[float, Uniform(0.0, 1.0)] = 0.5,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.margin = margin
        self.temperature = temperature
        self.imbalance = imbalance

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over anchors with a selected pair, a scalar; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        too_far = pairs.distance - (self.alpha - self.margin)
        too_near = self.alpha - pairs.distance
        with torch.no_grad():
            # Not "> 0", which would drop NaN and return a plausible number.
            pulled = (chosen.positive & ~(too_far <= 0)).to(too_far.dtype)
            pulled /= pulled.sum(1, keepdim=True).clamp_min(1)
            active = chosen.negative & ~(too_near <= 0)
            pushed = (self.temperature * too_near).masked_fill(~active, -torch.inf)
            pushed = pushed.softmax(1).masked_fill(~active, 0)
        positive = (1 - self.imbalance) * (pulled * too_far).sum(1)
        negative = self.imbalance * (pushed * too_near).sum(1)
        counted = (chosen.positive | chosen.negative).any(1)
        return masked_mean(positive + negative, counted)
