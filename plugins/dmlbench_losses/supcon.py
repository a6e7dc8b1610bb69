r"""Supervised contrastive loss, the form with the logarithm inside the sum (:math:`L_{out}`).

.. math:: L = \operatorname{mean}_a \frac{-1}{|P_a|} \sum_{p \in P_a} \log
          \frac{e^{s_{ap} / T}}{\sum_{k \in P_a \cup N_a} e^{s_{ak} / T}}

with cosine similarities :math:`s`. The denominator holds every other item of the batch, including
all positives (NT-Xent has only one), so the loss does not reach 0.

Paper: P. Khosla, P. Teterwak, C. Wang, A. Sarna, Y. Tian, P. Isola, A. Maschinot, C. Liu,
D. Krishnan, Supervised Contrastive Learning, NeurIPS 2020, arXiv 2004.11362. Temperature 0.1, two
views of each image, mean over all of them.

In the wild: the authors' code multiplies by T / 0.07, which its temperature of 0.07 makes 1;
pytorch-metric-learning averages over anchors whose term is not 0, which leaves out those without a
positive. In a batch of one class the loss makes the similarities equal, here and in the authors'
code; pytorch-metric-learning returns 0. With a miner the denominator holds the selected pairs only.

Our choice: one view, 0.1, mean over the anchors that have a positive.
"""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection, as_pair_mask
from dmlbench_losses.dense import as_numbers


class SupCon(Loss):
    """Supervised contrastive loss: all positives of an anchor against everything else.

    Args:
        temperature: what cosine similarities are divided by.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan. Supervised "
        "Contrastive Learning. NeurIPS 2020. arXiv 2004.11362"
    )
    differences = (
        "One view of each image, where the paper has two. pytorch-metric-learning returns 0 for a "
        "batch of one class, which here, as in the authors' code, still makes similarities equal."
    )
    paper_sampler = ("random", {})
    reducer = "mean over anchors with a positive"

    def __init__(self, *, temperature: Annotated[float, LogUniform(0.001, 1.0)] = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over anchors with a selected positive, a scalar; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        positive = as_numbers(chosen.positive, pairs.similarity)
        positives = positive.sum(1, keepdim=True)
        # Arithmetic is faster than masking; this far below, exp is exactly 0.
        barred = as_numbers(~(chosen.positive | chosen.negative), positive).mul_(1e30)
        # An anchor's term is the cross entropy of all its positives, each with an equal share.
        shares = positive / (positives * positives.count_nonzero()).clamp_min(1)
        return F.cross_entropy(
            pairs.similarity / self.temperature - barred, shares, reduction="sum"
        )
