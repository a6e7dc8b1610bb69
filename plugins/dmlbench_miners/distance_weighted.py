"""Distance-weighted sampling: negatives spread evenly over the distances, near ones cut off.

On the unit sphere in D dimensions the distances d of random pairs have the density

    q(d) ~ d^(D-2) (1 - d^2/4)^((D-3)/2)

with nearly all of its mass close to sqrt(2). A negative at distance d has the weight
1 / q(max(d, lower_cutoff)), and weight 0 from upper_cutoff on, where a margin loss is 0 anyway.

Wu, Manmatha, Smola and Krähenbühl, Sampling Matters in Deep Embedding Learning, ICCV 2017, arXiv
1706.07567. The cut-offs are those of the authors' code (0.5 and 1.4).

An anchor whose negatives all lie beyond the upper cut-off has weights that sum to 0. Dividing by
that sum gives NaN; code in the wild then drops the anchor with its positive pairs, gives up the
upper cut-off, or (the authors') draws from the whole batch, even the anchor's own class. Here its
negatives become equally likely: its positive pairs still teach; the far negative hardly does.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import ConfigError, Miner, Pairs, Triplets, Uniform
from dmlbench_miners.draws import one_for_each

_WHOLE = 2**32  # Weights as integers: their running sums are exact, so deterministic on GPUs too.


class DistanceWeighted(Miner):
    """For every positive pair one negative, drawn with the inverse density of its distance.

    Anchors without any negative have no triplets. The draw comes from torch's global generator of
    the CPU, the same on every device.

    Args:
        lower_cutoff: smaller distances count as this one, so that the few nearest don't take all
            the weight.
        upper_cutoff: negatives this far or further are not drawn while a nearer one exists.

    Raises:
        ConfigError: not 0 < lower_cutoff < upper_cutoff < 2.
    """

    makes = "triplets"
    paper = (
        "Wu, Manmatha, Smola, Krähenbühl: Sampling Matters in Deep Embedding Learning, ICCV 2017, "
        "arXiv 1706.07567"
    )

    def __init__(
        self,
        *,
        lower_cutoff: Annotated[float, Uniform(0.1, 1.0)] = 0.5,
        upper_cutoff: Annotated[float, Uniform(1.0, 1.9)] = 1.4,
    ) -> None:
        if not 0 < lower_cutoff < upper_cutoff < 2:
            raise ConfigError(
                "The miner 'distance-weighted' needs 0 < lower_cutoff < upper_cutoff < 2 (the "
                f"diameter of the unit sphere), not {lower_cutoff} and {upper_cutoff}."
            )
        self.lower_cutoff = lower_cutoff
        self.upper_cutoff = upper_cutoff

    def select(self, pairs: Pairs) -> Triplets:
        """Return one triplet for every positive pair, in the order of anchor and positive.

        Raises:
            ConfigError: the embeddings are not on the unit sphere, where the density holds.
        """
        if not pairs.normalized:
            raise ConfigError(
                "The miner 'distance-weighted' needs embeddings of length 1, and this loss trains "
                "on others. Take another miner, such as 'semi-hard', or a loss that normalizes."
            )
        weight = (self._log_weight(pairs).softmax(1) * _WHOLE).long()
        drawn_for = pairs.positive & pairs.negative.any(1, keepdim=True)
        return one_for_each(drawn_for, weight.cumsum(1))

    def _log_weight(self, pairs: Pairs) -> Tensor:
        """Return -log q for the distances ``[B, M]``, the lowest number for what is not drawn."""
        near = pairs.negative & (pairs.squared_distance < self.upper_cutoff**2)
        drawn = near | (pairs.negative & ~near.any(1, keepdim=True))
        # Beyond the upper cut-off all distances count as equal: the far ones are equally likely.
        squared = pairs.squared_distance.clamp(self.lower_cutoff**2, self.upper_cutoff**2)
        dimension = pairs.anchors.shape[1]
        log_weight = squared.log().mul_(1 - dimension / 2)
        log_weight.add_(squared.mul_(-0.25).log1p_(), alpha=(3 - dimension) / 2)
        # NaN may be drawn like any other value: the loss will notice.
        return log_weight.nan_to_num_(0).masked_fill_(~drawn, torch.finfo(log_weight.dtype).min)
