r"""Recall@k surrogate (RS@k): the share of positives among the first k, smoothed twice.

.. math:: L = 1 - \operatorname{mean}_a \operatorname{mean}_k
          \frac{\min\big(k, \sum_{p \in P_a} \sigma((k - r_{ap}) / T_k)\big)}{\min(k, |P_a|)}, \quad
          r_{ap} = 1 + \sum_{j \ne p} \sigma\Big(\frac{s_{aj} - s_{ap}}{T}\Big)

with :math:`\sigma(x) = 1 / (1 + e^{-x})`, cosine similarities :math:`s` and k = 1, 2, 4, 8, ...:
soft ranks r of the positives, and a soft decision whether each is among the first k. This recall
counts all positives; in retrieval tables one of them is enough. Anchors without a positive are left
out.

Paper: Y. Patel, G. Tolias, J. Matas, Recall@k Surrogate Loss with Large Batches and Similarity
Mixup, CVPR 2022, arXiv 2108.11179. The authors' code has T 0.01, :math:`T_k` 1, k of 1, 2, 4, 8 and
16, and 4 images a class in batches of about 400 (CUB, Cars) or 4000 (SOP). The mixup of the title
is a separate part.

In the wild: the authors' code ranks the anchor too, before all others, so that the nearest
positive has rank 2.

Our choice: the anchor is not ranked. Batches as the protocol has them, no mixup.
"""

from typing import Annotated

from torch import Tensor

from dmlbench import IntUniform, LogUniform, Loss, Pairs, Selection, as_pair_mask, masked_mean
from dmlbench_losses.soft_ranks import count_before, sigmoid_step


class RecallAtK(Loss):
    """Recall@k surrogate: the share of an anchor's positives that rank among the first k.

    Args:
        temperature: what differences of similarities are divided by, for ranks.
        k_temperature: what the distance of a rank from k is divided by.
        largest_k: mean over k = 1, 2, 4, ... up to this.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Patel, Tolias, Matas. Recall@k Surrogate Loss with Large Batches and Similarity Mixup. "
        "CVPR 2022. arXiv 2108.11179"
    )
    differences = (
        "The authors' code ranks the anchor itself before its nearest positive, here it is left "
        "out. Without the paper's large batches and its similarity mixup."
    )
    reducer = "mean over k and over anchors with a positive"

    def __init__(
        self,
        *,
        temperature: Annotated[float, LogUniform(0.001, 1.0)] = 0.01,
        k_temperature: Annotated[float, LogUniform(0.1, 10.0)] = 1.0,
        largest_k: Annotated[int, IntUniform(1, 1024)] = 16,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.k_temperature = k_temperature
        self.ks = [2**i for i in range(largest_k.bit_length())]

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return 1 - recall, the mean over anchors with a selected positive; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        anchor, positive = chosen.positive.nonzero(as_tuple=True)
        (before,) = count_before(
            pairs.similarity,
            anchor,
            positive,
            [chosen.positive | chosen.negative],
            sigmoid_step(self.temperature),
        )
        rank = 0.5 + before  # each positive has counted itself as the other half
        number = chosen.positive.sum(1)
        recall = rank.new_zeros(len(number))
        for k in self.ks:
            # The bound avoids denormal numbers far beyond k, which are slow.
            hits = ((k - rank) / self.k_temperature).clamp_min(-40).sigmoid()
            found = hits.new_zeros(len(number)).index_add(0, anchor, hits)
            recall = recall + found.clamp_max(k) / number.clamp(1, k)
        return masked_mean(1 - recall / len(self.ks), number > 0)
