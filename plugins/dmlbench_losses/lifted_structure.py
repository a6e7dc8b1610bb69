r"""Lifted structure loss in its generalised form: soft maxima over distances.

.. math:: L = \operatorname{mean}_a \Big[\log \sum_{p \in P_a} e^{d_{ap}}
          + \log \sum_{n \in N_a} e^{m - d_{an}}\Big]_+, \quad d_{ij} = \lVert x_i - x_j \rVert

over the anchors that have both a positive and a negative.

Papers: H. Oh Song, Y. Xiang, S. Jegelka, S. Savarese, Deep Metric Learning via Lifted Structured
Feature Embedding, CVPR 2016, arXiv 1511.06452: a term for each positive pair (i, j), squared, over
the negatives of both i and j, margin 1. A. Hermans, L. Beyer, B. Leibe, In Defense of the Triplet
Loss for Person Re-Identification, 2017, arXiv 1703.07737, generalises it to all positives of an
anchor, which is the form here; it adds the anchors up and tries margins from 0.1 to 1.

In the wild: embeddings not normalised, margin 1, with 0.005 times their mean length added (Roth et
al., ICML 2020, arXiv 2002.08473); normalised, margin 1, with a mean that also counts anchors
without a positive or without a negative (pytorch-metric-learning).

Our choice: the generalised form, margin 1, mean over the anchors that have both, not normalised:
distances of at most 2 would leave the soft maxima nearly flat, and with many negatives the bracket
would stay above 0 for every embedding, which makes the margin a mere constant. There is no penalty
on the lengths, whose scale is free only until the brackets reach 0.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import Loss, Pairs, Selection, Uniform, as_pair_mask, masked_mean


class LiftedStructure(Loss):
    """Generalised lifted structure loss: soft maxima over positive and negative distances.

    Args:
        margin: by how much negatives must lie further, in Euclidean distance (not normalised).
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Hermans, Beyer, Leibe. In Defense of the Triplet Loss for Person Re-Identification. 2017. "
        "arXiv 1703.07737"
    )
    differences = (
        "Mean over the anchors that have a positive and a negative, where the paper takes the sum; "
        "Roth et al. add a penalty of the lengths, and pytorch-metric-learning normalises the "
        "embeddings and counts the other anchors in its mean."
    )
    reducer = "mean over anchors with a positive and a negative"
    normalize = False

    def __init__(self, *, margin: Annotated[float, Uniform(0.0, 5.0)] = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over anchors with a selected pair of each kind, a scalar, or 0."""
        chosen = as_pair_mask(selection, pairs)
        furthest = _log_sum_exp(pairs.distance, chosen.positive)
        nearest = _log_sum_exp(self.margin - pairs.distance, chosen.negative)
        counted = chosen.positive.any(1) & chosen.negative.any(1)
        return masked_mean((furthest + nearest).clamp_min(0), counted)


def _log_sum_exp(values: Tensor, mask: Tensor) -> Tensor:
    # The lowest finite number, since a sum over nothing but -inf has a gradient of NaN; and by
    # log_softmax, since on a CPU logsumexp is ten times as slow where most exponentials are 0.
    values = values.masked_fill(~mask, torch.finfo(values.dtype).min)
    top = values.argmax(1, keepdim=True)
    return (values.gather(1, top) - values.log_softmax(1).gather(1, top)).squeeze(1)
