r"""NCA: the probability of picking a neighbour of one's own class.

.. math:: L = -\operatorname{mean}_a \log
          \frac{\sum_{p \in P_a} e^{-\gamma d_{ap}^2}}
          {\sum_{j \in P_a \cup N_a} e^{-\gamma d_{aj}^2}}

with squared Euclidean distances :math:`d^2` of unit vectors: a softmax over all other items.
Anchors without a positive are left out.

Paper: J. Goldberger, S. Roweis, G. Hinton, R. Salakhutdinov, Neighbourhood Components Analysis,
NIPS 2004 (no arXiv id). It learns a linear map, whose length sets the scale of the distances, on
the whole training set, and maximises the sum of the probabilities.

In the wild: pytorch-metric-learning has the mean of the logarithms, of unit vectors, with
:math:`\gamma` 1. Then no item weighs more than :math:`e^4` times another, too little to single out
one neighbour among many.

Our choice: the logarithm, which keeps a gradient where the probability is near 0, and
:math:`\gamma` 9, which equals vectors of length 3, as in Proxy-NCA.

How it is computed: :math:`-d^2 = 2 s - 2` for unit vectors, and the constant cancels out of the
fraction. The few positives are summed from a list.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import LogUniform, Loss, Pairs, Selection, as_pair_mask, masked_mean


class NCA(Loss):
    """Neighbourhood components analysis: a softmax over all others picks one's own class.

    Args:
        scale: what squared distances of unit vectors are multiplied by.
    """

    takes = "pairs"
    default_miner = "all-pairs"
    paper = (
        "Goldberger, Roweis, Hinton, Salakhutdinov. Neighbourhood Components Analysis. NIPS 2004"
    )
    differences = (
        "The paper maximises the mean probability, not its logarithm, with a linear map of any "
        "length on all training items. pytorch-metric-learning has scale 1."
    )
    reducer = "mean over anchors with a positive"

    def __init__(self, *, scale: Annotated[float, LogUniform(0.1, 100.0)] = 9.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, pairs: Pairs, selection: Selection) -> Tensor:
        """Return the mean over anchors with a selected positive, a scalar; 0 if there is none."""
        chosen = as_pair_mask(selection, pairs)
        nearness, factor = pairs.similarity, 2 * self.scale
        if not pairs.normalized:
            nearness, factor = pairs.squared_distance, -self.scale
        # The lowest finite number, since the gradient of a sum over nothing but -inf is NaN.
        lowest = torch.finfo(nearness.dtype).min
        others = chosen.positive | chosen.negative
        barred = torch.zeros_like(nearness).masked_fill_(~others, lowest)
        log_share = torch.add(barred, nearness, alpha=factor).log_softmax(1)
        anchor, positive = chosen.positive.nonzero(as_tuple=True)
        share = log_share[anchor, positive]
        largest = share.new_zeros(len(pairs))
        largest.scatter_reduce_(0, anchor, share.detach(), "amax", include_self=False)
        lone = ~chosen.positive.any(1)
        total = lone.to(share.dtype).index_add(0, anchor, (share - largest[anchor]).exp())
        return masked_mean(-(largest + total.log()), ~lone)
