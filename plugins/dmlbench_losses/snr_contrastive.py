r"""Contrastive loss on the signal-to-noise ratio: a pair's difference is noise on its anchor.

.. math:: L = \operatorname{mean}_{(a, p)} [d_{ap} - m_p]_+ + \operatorname{mean}_{(a, n)}
          [m_n - d_{an}]_+ + \lambda \operatorname{mean}_a \Big|\sum_k x_{ak}\Big|, \quad
          d_{ij} = \frac{\operatorname{var}(x_i - x_j)}{\operatorname{var}(x_i)}

with variances over an embedding's entries. The first two means run over the terms above 0, the
third over the anchors that have a pair. The ratio :math:`d` is not symmetric.

Paper: T. Yuan, W. Deng, J. Tang, Y. Tang, B. Chen, Signal-to-Noise Ratio: A Robust Distance Metric
for Deep Metric Learning, CVPR 2019, arXiv 1904.02616. It puts the ratio in place of the Euclidean
distance, and adds a penalty that keeps the mean of the entries at 0.

In the wild: margins 0 and 1, normalised embeddings and no penalty by default
(pytorch-metric-learning); the ratio in a triplet loss, penalty 0.005 (Roth et al., ICML 2020,
arXiv 2002.08473). Tuned, a penalty of 0.138, 0 and 0 was best on three sets (Musgrave et al., ECCV
2020, arXiv 2003.08505).

Our choice: normalised, margins 0 and 1, penalty 0.005, mean over non-zero.

How it is computed: as one product of centred embeddings with their variances, time and memory
O(B M). Rounding hides whether a ratio is 0, which is no term above 0, or small: equal embeddings
are found by comparing them.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Uniform, active_mean, as_pair_mask, masked_mean
from dmlbench_losses.dense import without_duplicates

# Of a unit vector times its dimension; keeps the ratio finite for a constant vector, of variance 0.
_SMALLEST_VARIANCE = 1e-6


class SNRContrastive(Loss):
    """Contrastive loss on the variance of a pair's difference over that of its anchor.

    Args:
        pos_margin: ratio below which a positive costs nothing.
        neg_margin: ratio above which a negative costs nothing (unrelated embeddings: about 2).
        zero_mean_weight: weight of the mean absolute sum of an anchor's entries.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Yuan, Deng, Tang, Tang, Chen. Signal-to-Noise Ratio: A Robust Distance Metric for Deep "
        "Metric Learning. CVPR 2019. arXiv 1904.02616"
    )
    differences = (
        "Margins are those of pytorch-metric-learning, which leaves the penalty of the mean out; "
        "its weight is that of Roth et al."
    )
    reducer = "mean over non-zero, positives and negatives apart"

    def __init__(
        self,
        *,
        pos_margin: Annotated[float, Uniform(0.0, 2.0)] = 0.0,
        neg_margin: Annotated[float, Uniform(0.0, 4.0)] = 1.0,
        zero_mean_weight: Annotated[float, Uniform(0.0, 1.0)] = 0.005,
    ) -> None:
        super().__init__()
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin
        self.zero_mean_weight = zero_mean_weight

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the loss of the selected pairs, a scalar; 0 if none is selected."""
        chosen = as_pair_mask(selection, pairs)
        ratio = _noise_to_signal(pairs)
        pulled = chosen.positive
        if self.pos_margin == 0:
            pulled = without_duplicates(pulled, pairs)
        positive = active_mean(ratio - self.pos_margin, pulled)
        negative = active_mean(self.neg_margin - ratio, chosen.negative)
        used = (chosen.positive | chosen.negative).any(1)
        off_zero = masked_mean(pairs.anchors.sum(1).abs(), used)
        return positive + negative + self.zero_mean_weight * off_zero


def _noise_to_signal(pairs: Pairs) -> Tensor:
    """Return var(a - b) / var(a) for all pairs ``[B, M]``, as one product of longer vectors."""
    anchors, references = _centred(pairs.anchors), _centred(pairs.references)
    signal, noise = anchors.square().sum(1, keepdim=True), references.square().sum(1, keepdim=True)
    divisor = signal.clamp_min(_SMALLEST_VARIANCE)
    ours = torch.cat([-2 * anchors, signal, torch.ones_like(signal)], dim=1) / divisor
    theirs = torch.cat([references, torch.ones_like(noise), noise], dim=1)
    # Kept above 0 despite rounding: only duplicates have 0, and those are found by comparison.
    return (ours @ theirs.T).clamp_min(torch.finfo(divisor.dtype).tiny)


def _centred(embeddings: Tensor) -> Tensor:
    return embeddings - embeddings.mean(1, keepdim=True)
