r"""Easy-positive loss: a softmax between a nearby positive and a negative.

.. math:: L = \operatorname{mean}_{(a, p, n)} -\log
          \frac{e^{s_{ap} / T}}{e^{s_{ap} / T} + e^{s_{an} / T}}

with cosine similarities :math:`s`. The method is the choice of triplets: for each anchor only its
most similar positive (so that a class may keep several clusters), and the most similar of the
negatives that are less similar than it.

Paper: H. Xuan, A. Stylianou, R. Pless, Improved Embeddings with Easy Positive Triplet Mining, WACV
2020, arXiv 1904.04370; this is its easy positive, semi-hard negative form (EPSHN). T 0.1.

In the wild: the authors' code drops an anchor whose similarity to its positive or to its negative
is not above 0, takes similarities above 0.9999 for the anchor itself, and draws 16 items per class
in its example run. pytorch-metric-learning has the choice of triplets as a miner, before NT-Xent.

Our choice: the miner ``easy-positive``, T 0.1, mean over the triplets.

How it is computed: the triplets that a pair mask spans are never listed. B positive pairs at a time
are compared with all references, which gives the value and its gradient with respect to the
similarities.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlbench import LogUniform, Loss, PairMask, Pairs, Selection


class EasyPositive(Loss):
    """EPSHN's loss: each triplet's positive against its negative, on scaled cosines.

    A pair mask stands for all triplets that it spans.

    Args:
        temperature: what cosine similarities are divided by.
    """

    takes = "triplets"
    default_miner = "easy-positive"
    paper = (
        "Xuan, Stylianou, Pless. Improved Embeddings with Easy Positive Triplet Mining. WACV 2020. "
        "arXiv 1904.04370"
    )
    differences = (
        "The authors' code drops anchors whose similarity to the positive or to the negative is "
        "not above 0."
    )
    reducer = "mean over triplets"

    def __init__(self, *, temperature: Annotated[float, LogUniform(0.001, 1.0)] = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over the selected triplets, a scalar; 0 if there is none."""
        logits = pairs.similarity / self.temperature
        if isinstance(selection, PairMask):
            with torch.no_grad():
                value, gradient = _value_and_gradient(logits, selection)
            linear = (gradient * logits).sum()
            return value + (linear - linear.detach())  # 0, with the gradient found above
        positive = logits[selection.anchor, selection.positive]
        excess = logits[selection.anchor, selection.negative] - positive
        return _softplus(excess).sum() / max(len(excess), 1)


def _value_and_gradient(logits: Tensor, chosen: PairMask) -> tuple[Tensor, Tensor]:
    """Return the mean over all triplets of the mask and its gradient for the logits ``[B, M]``."""
    value, gradient = logits.new_zeros(()), torch.zeros_like(logits)
    triplets = (chosen.positive.sum(1) * chosen.negative.sum(1)).sum().clamp_min(1)
    anchors, columns = chosen.positive.nonzero(as_tuple=True)
    for anchor, positive in zip(
        anchors.split(len(logits)), columns.split(len(logits)), strict=True
    ):
        excess = logits[anchor].sub_(logits[anchor, positive, None])
        negative = chosen.negative[anchor]
        value += (_softplus(excess) * negative).sum() / triplets
        by_negative = excess.sigmoid_().mul_(negative).div_(triplets)
        gradient.index_add_(0, anchor, by_negative)
        gradient[anchor, positive] -= by_negative.sum(1)
    return value, gradient


def _softplus(values: Tensor) -> Tensor:
    # Above 40 the two agree in double precision, above the default of 20 they do not.
    return F.softplus(values, threshold=40)
