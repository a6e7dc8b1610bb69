r"""Smooth-AP: average precision with a sigmoid in place of the step from "behind" to "before".

.. math:: L = 1 - \operatorname{mean}_a \frac{1}{|P_a|} \sum_{p \in P_a}
          \frac{1 + \sum_{j \in P_a \setminus p} \sigma_{jp}}
          {1 + \sum_{j \in P_a \setminus p} \sigma_{jp} + \sum_{j \in N_a} \sigma_{jp}}, \quad
          \sigma_{jp} = \frac{1}{1 + e^{-(s_{aj} - s_{ap}) / T}}

with cosine similarities :math:`s`: the rank of each positive among the positives over its rank
among all. Anchors without a positive are left out.

Paper: A. Brown, W. Xie, V. Kalogeiton, A. Zisserman, Smooth-AP: Smoothing the Path Towards
Large-Scale Image Retrieval, ECCV 2020, arXiv 2007.12163. The authors' code has temperature 0.01 and
4 images a class.

In the wild: the authors' code and pytorch-metric-learning treat the anchor as one of its own
positives, always ranked first, which makes the loss smaller and its gradients weaker; both need the
same number of items per class, in blocks. pytorch-metric-learning makes the blocks as long as there
are classes, so it is right only where a class has as many items as there are classes. Both hold a
tensor of :math:`B^3` entries.

Our choice: the anchor left out, any number of items a class, in any order.
"""

from typing import Annotated

from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection, as_pair_mask
from dmlbench_losses.soft_ranks import count_before, sigmoid_step


class SmoothAP(Loss):
    """Smooth-AP: average precision of each anchor's ranking, the ranks smoothed by a sigmoid.

    Args:
        temperature: what differences of similarities are divided by; near 0 it is exact AP.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Brown, Xie, Kalogeiton, Zisserman. Smooth-AP: Smoothing the Path Towards Large-Scale "
        "Image Retrieval. ECCV 2020. arXiv 2007.12163"
    )
    differences = (
        "The authors' code and pytorch-metric-learning count the anchor as one of its own "
        "positives, which is left out here; classes may have any number of items."
    )
    reducer = "mean over anchors with a positive"

    def __init__(self, *, temperature: Annotated[float, LogUniform(0.001, 1.0)] = 0.01) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return 1 - AP, the mean over anchors with a selected positive; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        anchor, positive = chosen.positive.nonzero(as_tuple=True)
        positives, negatives = count_before(
            pairs.similarity,
            anchor,
            positive,
            [chosen.positive, chosen.negative],
            sigmoid_step(self.temperature),
        )
        # Each positive has counted itself as half of the 1 that its rank starts at.
        missed: Tensor = negatives / (0.5 + positives + negatives)
        number = chosen.positive.sum(1)
        return (missed / number[anchor]).sum() / (number > 0).sum().clamp_min(1)
