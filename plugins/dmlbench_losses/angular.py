r"""Angular loss: bounds the angle at the negative in its triangle with anchor and positive.

.. math:: L = \operatorname{mean}_{(a, p)} \log \Big(1 + \sum_{n \in N_a} e^{f_{apn}}\Big), \quad
          f_{apn} = 4 \tan^2 \alpha \, (x_a + x_p) \cdot x_n
          - 2 (1 + \tan^2 \alpha) \, x_a \cdot x_p

with embeddings :math:`x` of length 1. Up to a constant, f is :math:`\lVert x_a - x_p \rVert^2 - 4
\tan^2 \alpha \, \lVert x_n - (x_a + x_p) / 2 \rVert^2`: above 0 where half the distance from a to
p, seen from n at the distance of the middle of a and p, spans an angle above :math:`\alpha`.

Paper: J. Wang, F. Zhou, S. Wen, X. Liu, Y. Lin, Deep Metric Learning with Angular Loss, ICCV 2017,
arXiv 1708.01682. It uses angles from 36 to 55 degrees.

In the wild: alone, 40 degrees, with anchors and positives normalised but negatives left as they are
(pytorch-metric-learning; the same for embeddings of length 1); or doubled, with 45 degrees and one
random positive an anchor, beside an N-pair loss of the embeddings before normalisation (Roth et
al., ICML 2020, arXiv 2002.08473).

Our choice: alone, 45 degrees, normalised, each positive pair against all selected negatives of its
anchor. The sum is ``n-pair+2*angular``, each part with embeddings of the length it needs.

How it is computed: B positive pairs at a time are compared with all references, which gives the
value and its gradient with respect to the embeddings. Memory stays at O(B M); time is that times
the positives per anchor.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlbench import Loss, PairMask, Pairs, Selection, Uniform, as_pair_mask


class Angular(Loss):
    """Angular loss: bounds the angle at each negative instead of distances.

    Args:
        alpha: the bound in degrees.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Wang, Zhou, Wen, Liu, Lin. Deep Metric Learning with Angular Loss. ICCV 2017. "
        "arXiv 1708.01682"
    )
    differences = (
        "All positive pairs count; Roth et al. take one positive an anchor, and double the angular "
        "loss beside an N-pair loss. pytorch-metric-learning does not normalise the negatives."
    )
    reducer = "mean over positive pairs"

    def __init__(self, *, alpha: Annotated[float, Uniform(10.0, 60.0)] = 45.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over the selected positive pairs, a scalar; 0 if there is none."""
        with torch.no_grad(), torch.autocast(pairs.anchors.device.type, enabled=False):
            value, by_anchors, by_references = self._value_and_gradients(
                pairs.anchors, pairs.references, as_pair_mask(selection, pairs)
            )
        linear = (by_anchors * pairs.anchors).sum() + (by_references * pairs.references).sum()
        return value + (linear - linear.detach())  # 0, with the gradient found above

    def _value_and_gradients(
        self, anchors: Tensor, references: Tensor, chosen: PairMask
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss and its gradients for anchors ``[B, D]`` and references ``[M, D]``."""
        squared_tangent = math.tan(math.radians(self.alpha)) ** 2
        push, pull = 4 * squared_tangent, 2 * (1 + squared_tangent)
        value, excluded = anchors.new_zeros(()), ~chosen.negative
        by_anchors, by_references = torch.zeros_like(anchors), torch.zeros_like(references)
        rows, columns = chosen.positive.nonzero(as_tuple=True)
        for row, column in zip(rows.split(len(anchors)), columns.split(len(anchors)), strict=True):
            anchor, positive = anchors[row], references[column]
            middle = push * (anchor + positive)
            exponents = (middle @ references.T).sub_(
                pull * (anchor * positive).sum(1, keepdim=True)
            )
            exponents.masked_fill_(excluded[row], -torch.inf)
            log_shares = F.pad(exponents, (0, 1)).log_softmax(1)  # the zeros stand for the 1
            value -= log_shares[:, -1].sum()
            weights = log_shares[:, :-1].exp()
            by_middle = push * (weights @ references)
            pulled = pull * weights.sum(1, keepdim=True)
            by_anchors.index_add_(0, row, by_middle - pulled * positive)
            by_references.index_add_(0, column, by_middle - pulled * anchor)
            by_references.addmm_(weights.T, middle)
        count = max(len(rows), 1)
        return value / count, by_anchors / count, by_references / count
