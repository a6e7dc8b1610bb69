r"""Multi-similarity loss.

.. math:: L = \frac{1}{B} \sum_a
          \frac{1}{\alpha} \log\Big(1 + \sum_{p \in P_a} e^{-\alpha (s_{ap} - \lambda)}\Big)
          + \frac{1}{\beta} \log\Big(1 + \sum_{n \in N_a} e^{\beta (s_{an} - \lambda)}\Big)

with cosine similarities :math:`s`. Anchors without a selected pair count in B.

Paper: X. Wang, X. Han, W. Huang, D. Dong, M. R. Scott, Multi-Similarity Loss with General Pair
Weighting for Deep Metric Learning, CVPR 2019, arXiv 1904.06627: :math:`\alpha` 2,
:math:`\beta` 50, :math:`\lambda` 1, pairs mined with :math:`\epsilon` 0.1.

In the wild: :math:`\lambda` is 0.5 in all code; :math:`\beta` is 40 in the authors' own and in that
of Roth et al. (ICML 2020, arXiv 2002.08473), 50 in pytorch-metric-learning, which mines nothing by
default. The authors' code drops positives of similarity 1 (duplicates too) and divides by the
batch size; Roth's divides by the anchors left.

Our choice: 2, 50 and 0.5, the paper's miner, divided by the batch size.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection, Uniform, as_pair_mask
from dmlbench_losses.dense import as_numbers


class MultiSimilarity(Loss):
    """Multi-similarity loss: soft maxima over each anchor's hardest positives and negatives.

    Args:
        alpha: sharpness for positives.
        beta: sharpness for negatives.
        base: the similarity that both are compared with.
    """

    takes = "pairs"
    default_miner = "multi-similarity"
    paper = (
        "Wang, Han, Huang, Dong, Scott. Multi-Similarity Loss with General Pair Weighting for "
        "Deep Metric Learning. CVPR 2019. arXiv 1904.06627"
    )
    differences = (
        "The base is 0.5 as in all code, 1 in the paper. Divided by the batch size; Roth et al. "
        "divide by the anchors left."
    )
    reducer = "mean"

    def __init__(
        self,
        *,
        alpha: Annotated[float, LogUniform(0.01, 100.0)] = 2.0,
        beta: Annotated[float, LogUniform(1.0, 200.0)] = 50.0,
        base: Annotated[float, Uniform(-1.0, 1.0)] = 0.5,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.base = base

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over all anchors, a scalar; 0 if no pair is selected."""
        chosen = as_pair_mask(selection, pairs)
        positive = self._log_one_plus_sum_exp(pairs.similarity, -self.alpha, chosen.positive)
        negative = self._log_one_plus_sum_exp(pairs.similarity, self.beta, chosen.negative)
        return (positive / self.alpha + negative / self.beta) / len(pairs)

    def _log_one_plus_sum_exp(self, similarity: Tensor, slope: float, chosen: Tensor) -> Tensor:
        """Return the logarithms, summed over the anchors."""
        # Arithmetic is faster than masking; this far below, exp is exactly 0.
        shift = as_numbers(~chosen, similarity).mul_(-1e30).sub_(slope * self.base)
        # The logarithm is a cross entropy with one more logit, 0, which stands for the 1.
        logits = F.pad(slope * similarity + shift, (1, 0))
        first = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        return F.cross_entropy(logits, first, reduction="sum")
