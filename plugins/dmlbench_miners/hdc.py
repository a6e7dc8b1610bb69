"""One level of a hard-aware cascade: the hardest share of all pairs of the batch.

    (a, p) among the  ceil(share |P|)  positive pairs P of the largest distance
    (a, n) among the  ceil(share |N|)  negative pairs N of the smallest distance

Pairs compete over the whole batch, not for each anchor: anchors in a difficult place keep many.

Paper: Y. Yuan, K. Yang, C. Zhang, Hard-Aware Deeply Cascaded Embedding, ICCV 2017, arXiv
1611.05720. A cascade of three branches of a network, each deeper one trained on the pairs that are
hard for the one before. The authors' training files have shares of 1, 0.5 and 0.2; their loss
layer ranks positive and negative pairs apart by a contrastive loss with margin 1 on squared
distances, and drops pairs whose loss is 0.

In the wild: pytorch-metric-learning's HDCMiner, one level with a share of 0.5.

Our choice: one level, for one network, 0.5. Pairs as hard as the last one kept are kept as well.
"""

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from dmlbench import Miner, PairMask, Pairs, Uniform


class HDC(Miner):
    """The hardest share of the batch's positive pairs, and of its negative pairs.

    Args:
        share: fraction of the pairs of either kind that is kept.
    """

    makes = "pairs"
    paper = "Yuan, Yang, Zhang: Hard-Aware Deeply Cascaded Embedding, ICCV 2017, arXiv 1611.05720"

    def __init__(self, *, share: Annotated[float, Uniform(0.01, 1.0)] = 0.5) -> None:
        self.share = share

    def select(self, pairs: Pairs) -> PairMask:
        """Return the masks of kept positives and kept negatives, each ``[B, M]``."""
        distance = pairs.squared_distance
        return PairMask(
            self._lowest(-distance, pairs.positive), self._lowest(distance, pairs.negative)
        )

    def _lowest(self, value: Tensor, mask: Tensor) -> Tensor:
        found = value[mask]
        if not len(found):
            return mask
        last = _smallest(found, math.ceil(self.share * len(found)))
        return mask & ~(value > last)  # keeps NaN, for the loss to notice


def _smallest(values: Tensor, nth: int) -> Tensor:
    """Return the n-th smallest value, a scalar."""
    if values.is_cpu:  # 10 times as fast as torch's own
        return torch.tensor(np.partition(values.detach().numpy(), nth - 1)[nth - 1])
    return values.sort().values[nth - 1]  # torch's kthvalue is not deterministic everywhere
