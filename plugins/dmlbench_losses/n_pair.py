r"""Multi-class N-pair loss: each positive pair against the other classes, by inner products.

.. math:: L = \operatorname{mean}_{(a, p)} \log \Big(1 + \sum_{n \in N_a}
          e^{x_a \cdot x_n - x_a \cdot x_p}\Big)
          + \frac{\lambda}{2} \big(\lVert x_a \rVert^2 + \lVert x_p \rVert^2\big)

with embeddings :math:`x` of any length.

Paper: K. Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NIPS 2016 (no
arXiv id). A batch is N pairs of N classes; the negatives of an anchor are the positives of the
other N - 1 pairs. The embeddings are not normalised; their squared lengths are penalised.

In the wild: the penalty is 0.002 / 4 times the mean squared length of the anchors, and the same for
the positives (TensorFlow), 0.005 times the mean length, not squared, with one random positive an
anchor and all negatives (Roth et al., ICML 2020, arXiv 2002.08473), or absent, with embeddings
normalised and one pair a class (pytorch-metric-learning).

Our choice: one term for each positive pair, against all selected negatives; not normalised, since
between inner products of -1 and 1 the loss could not fall below :math:`\log(1 + |N_a| / e^2)` (with
a temperature it would be NT-Xent); :math:`\lambda` 0.005. The paper's sampler makes its batches,
two items per class.
"""

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dmlbench import Loss, Pairs, Selection, Uniform, as_pair_mask

# Beyond it an exponential is below the rounding of a sum, and soon denormal, which is slow.
_LOWEST_EXPONENT = -80


class NPair(Loss):
    """N-pair loss: softmax over inner products of embeddings that are not normalised.

    Args:
        length_weight: weight of the mean squared length of the embeddings.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = "Sohn. Improved Deep Metric Learning with Multi-class N-pair Loss Objective. NIPS 2016"
    differences = (
        "All selected items of other classes are negatives, where the paper takes one of each "
        "class; known code differs in the penalty of the lengths, and pytorch-metric-learning "
        "normalises the embeddings and has no penalty."
    )
    paper_sampler = ("m-per-class", {"m": 2})
    reducer = "mean over positive pairs"
    normalize = False

    def __init__(self, *, length_weight: Annotated[float, Uniform(0.0, 0.1)] = 0.005) -> None:
        super().__init__()
        self.length_weight = length_weight

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over the selected positive pairs, a scalar; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        anchor, positive = chosen.positive.nonzero(as_tuple=True)
        excess = _Excess.apply(pairs.similarity, chosen.negative, anchor, positive)
        terms = torch.logaddexp(excess, excess.new_zeros(()))
        squared_lengths = (
            pairs.anchors.square().sum(1)[anchor] + pairs.references.square().sum(1)[positive]
        )
        terms = terms + self.length_weight / 2 * squared_lengths
        return terms.sum() / max(len(terms), 1)


class _Excess(torch.autograd.Function):
    """The log of the negatives' sum of exponentials less the positive's product, ``[T]``."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, negative: Tensor, anchor: Tensor, positive: Tensor
    ) -> Tensor:
        # The lowest finite number: without a negative the excess is that low, but not NaN.
        shares = torch.where(negative, logits, torch.finfo(logits.dtype).min)
        top = shares.amax(1, keepdim=True)
        shares.sub_(top).clamp_min_(_LOWEST_EXPONENT).exp_()
        total = shares.sum(1, keepdim=True)
        ctx.save_for_backward(shares, total, anchor, positive)
        return (top + total.log()).squeeze(1)[anchor] - logits[anchor, positive]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor, None, None, None]:
        shares, total, anchor, positive = ctx.saved_tensors
        of_anchor = change.new_zeros(len(total)).index_add_(0, anchor, change)
        gradient = shares * (of_anchor[:, None] / total)
        gradient.index_put_((anchor, positive), -change, accumulate=True)
        return gradient, None, None, None
