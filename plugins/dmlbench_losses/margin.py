r"""Margin loss: distances to positives below, to negatives above a learned boundary.

.. math:: L = \frac{1}{A} \sum_{(a, p, n)} [d_{ap} - \beta + \alpha]_+ + [\beta - d_{an} + \alpha]_+

with :math:`d_{ij} = \lVert x_i - x_j \rVert` of unit vectors and A the number of terms above 0.

Paper: C.-Y. Wu, R. Manmatha, A. J. Smola, P. Kraehenbuehl, Sampling Matters in Deep Embedding
Learning, ICCV 2017, arXiv 1706.07567. Margin :math:`\alpha` 0.2; :math:`\beta` starts at 1.2 and
is learned for each class, with SGD at 0.1 (no weight decay) beside Adam at 1e-4 for the network;
its penalty :math:`\nu \beta` has :math:`\nu = 0`. Each positive pair comes with one negative drawn
by distance, so the loss runs over triplets and a pair counts as often as it was drawn.

In the wild: one constant :math:`\beta` (pytorch-metric-learning); one for each class at a learning
rate of 5e-4 beside 1e-5 (Roth et al., ICML 2020, arXiv 2002.08473, who start at 0.6 or 1.2). Their
code adds up two booleans for each triplet, which in torch is a logical or: they divide by the
number of triplets with a term above 0, not by the number of such terms, so value and gradient are
up to twice ours, by a factor that varies from step to step. Weight decay on :math:`\beta`, or a
plain mean over all terms, makes it a different loss.

Our choice: one learned :math:`\beta` for all classes, no :math:`\nu`, 50 times the network's
learning rate (Roth et al.), no weight decay.
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from dmlbench import Loss, PairMask, Pairs, Selection, Uniform
from dmlbench_losses.dense import as_numbers, is_above, is_below, weighted_distance


class Margin(Loss):
    """Margin loss: positives nearer, negatives farther than a learned distance, by a margin.

    A pair mask stands for all triplets that it spans.

    Args:
        margin: by how much nearer or farther, in Euclidean distance of unit vectors.
        beta: the boundary's distance before training.
    """

    takes = "triplets"
    default_miner = "distance-weighted"
    paper = (
        "Wu, Manmatha, Smola, Kraehenbuehl. Sampling Matters in Deep Embedding Learning. "
        "ICCV 2017. arXiv 1706.07567"
    )
    differences = (
        "One learned boundary for all classes, where the paper learns one for each; "
        "pytorch-metric-learning's is constant unless asked for. Roth et al. divide by the "
        "triplets with a term above 0 instead of by these terms: up to twice ours."
    )
    reducer = "mean over non-zero"
    own_lr_multiple = 50.0
    own_weight_decay = 0.0

    def __init__(
        self,
        *,
        margin: Annotated[float, Uniform(0.0, 1.0)] = 0.2,
        beta: Annotated[float, Uniform(0.0, 2.0)] = 1.2,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.beta = nn.Parameter(torch.tensor(float(beta)))

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean of the selected triplets' terms above 0, a scalar; 0 if there is none."""
        with torch.no_grad():  # Linear in distance and boundary once the terms above 0 are known.
            positive, negative = _occurrences(pairs, selection)
            positive.mul_(is_above(pairs.distance, self.beta - self.margin))
            negative.mul_(is_below(pairs.distance, self.beta + self.margin))
            positives, negatives = positive.sum(), negative.sum()
            active = positives + negatives
            weight = positive.sub_(negative)
        total = weighted_distance(pairs, weight) + self.beta * (negatives - positives)
        return (total + self.margin * active) / active.clamp_min(1)


def _occurrences(pairs: Pairs, selection: Selection) -> tuple[Tensor, Tensor]:
    """Count the triplets in which each pair ``[B, M]`` is the positive, and the negative."""
    distance = pairs.distance
    if isinstance(selection, PairMask):
        positive = as_numbers(selection.positive, distance)
        negative = as_numbers(selection.negative, distance)
        positives, negatives = positive.sum(1, keepdim=True), negative.sum(1, keepdim=True)
        return positive.mul_(negatives), negative.mul_(positives)
    row = selection.anchor * distance.shape[1]
    once = distance.new_ones(len(row))
    positive, negative = (
        distance.new_zeros(distance.numel()).scatter_add_(0, row + column, once).view_as(distance)
        for column in (selection.positive, selection.negative)
    )
    return positive, negative
