r"""NT-Xent: normalised, temperature-scaled cross entropy, with labels.

.. math:: L = -\operatorname{mean}_{(a, p)} \log
          \frac{e^{s_{ap} / T}}{e^{s_{ap} / T} + \sum_{n \in N_a} e^{s_{an} / T}}

with cosine similarities :math:`s`: one term for each positive pair, whose denominator holds that
positive and the negatives, not the anchor's other positives (SupCon has them).

Papers: K. Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NIPS 2016;
A. van den Oord, Y. Li, O. Vinyals, Representation Learning with Contrastive Predictive Coding,
2018, arXiv 1807.03748; T. Chen, S. Kornblith, M. Norouzi, G. Hinton, A Simple Framework for
Contrastive Learning of Visual Representations, ICML 2020, arXiv 2002.05709, which names it. There
an anchor has one positive, its other view, so the papers don't say what to do with several.

In the wild: temperature 0.07 (pytorch-metric-learning, after MoCo) or 0.5 (SimCLR). Tuned for
retrieval, values between 0.0002 and 0.02 were best (Musgrave et al., ECCV 2020, arXiv 2003.08505).

Our choice: 0.07, one term a positive pair, as in pytorch-metric-learning.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection, as_pair_mask


class NTXent(Loss):
    """NT-Xent (InfoNCE) with labels: each positive against all negatives of its anchor.

    Args:
        temperature: what cosine similarities are divided by.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Chen, Kornblith, Norouzi, Hinton. A Simple Framework for Contrastive Learning of Visual "
        "Representations. ICML 2020. arXiv 2002.05709"
    )
    differences = (
        "One term a positive pair, as in pytorch-metric-learning; the papers have one positive "
        "an anchor and leave several open."
    )
    reducer = "mean"

    def __init__(self, *, temperature: Annotated[float, LogUniform(0.0001, 1.0)] = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over the selected positive pairs, a scalar; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        logits = pairs.similarity / self.temperature
        # The lowest finite number, since the gradient of a sum over nothing but -inf is NaN.
        negative = logits.masked_fill(~chosen.negative, torch.finfo(logits.dtype).min).logsumexp(1)
        excess = (negative[:, None] - logits)[chosen.positive]
        terms = torch.logaddexp(excess, excess.new_zeros(()))
        return terms.sum() / max(len(terms), 1)
