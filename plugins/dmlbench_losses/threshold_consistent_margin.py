r"""Threshold-consistent margin (TCM): a regulariser that gives all classes one threshold.

.. math:: L = \lambda^+ \operatorname{mean}_{(i, j) \in P, s_{ij} < m^+} (m^+ - s_{ij})
          + \lambda^- \operatorname{mean}_{(i, j) \in N, s_{ij} > m^-} (s_{ij} - m^-)

with cosine similarities :math:`s`. The means run over hard pairs only, each kind by itself.

Paper: Q. Zhang, L. Xu, Q. Tang, J. Fang, Y. N. Wu, J. Tighe, Y. Xing, Threshold-Consistent Margin
Loss for Open-World Deep Metric Learning, ICLR 2024, arXiv 2307.04047. It is added to another loss,
so that one threshold of similarity suits all classes.

In the wild: pytorch-metric-learning has margins 0.9 and 0.5 and both weights 1, which its
implementer took from the paper's section 5.2. It leaves the other loss to the user.

Our choice: these values, added to Proxy-Anchor with weight 1.
"""

from typing import Annotated

from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Uniform, active_mean, as_pair_mask


class ThresholdConsistentMargin(Loss):
    """Threshold-consistent margin: holds positives and negatives to fixed similarities.

    Args:
        pos_margin: similarity above which a positive costs nothing.
        neg_margin: similarity below which a negative costs nothing.
        pos_weight: weight of the positives' mean.
        neg_weight: weight of the negatives' mean.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Zhang, Xu, Tang, Fang, Wu, Tighe, Xing. Threshold-Consistent Margin Loss for Open-World "
        "Deep Metric Learning. ICLR 2024. arXiv 2307.04047"
    )
    differences = "Which loss it is added to is our choice."
    reducer = "mean over non-zero, positives and negatives apart"
    trained_as = "proxy-anchor+threshold-consistent-margin"

    def __init__(
        self,
        *,
        pos_margin: Annotated[float, Uniform(-1.0, 1.0)] = 0.9,
        neg_margin: Annotated[float, Uniform(-1.0, 1.0)] = 0.5,
        pos_weight: Annotated[float, Uniform(0.0, 10.0)] = 1.0,
        neg_weight: Annotated[float, Uniform(0.0, 10.0)] = 1.0,
    ) -> None:
        super().__init__()
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin
        self.pos_weight = pos_weight
        self.neg_weight = neg_weight

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the loss of the selected pairs, a scalar; 0 if none is selected."""
        chosen = as_pair_mask(selection, pairs)
        pull = active_mean(self.pos_margin - pairs.similarity, chosen.positive)
        push = active_mean(pairs.similarity - self.neg_margin, chosen.negative)
        return self.pos_weight * pull + self.neg_weight * push
