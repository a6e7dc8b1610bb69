"""Distance-weighted sampling: negatives spread evenly over the distances, near ones cut off.

On the unit sphere in D dimensions the distances d of random pairs have the density

    q(d) ~ d^(D-2) (1 - d^2/4)^((D-3)/2)

with nearly all of its mass close to sqrt(2). A negative at distance d has the weight
1 / q(max(d, lower_cutoff)), and weight 0 from upper_cutoff on, where a margin loss is 0 anyhow.

Wu, Manmatha, Smola and Krähenbühl, Sampling Matters in Deep Embedding Learning, ICCV 2017, arXiv
1706.07567. The cut-offs are those of the authors' code (0.5 and 1.4).

An anchor whose negatives all lie beyond the upper cut-off has weights that sum to 0. Dividing by
that sum gives NaN; code in the wild then drops the anchor with its positive pairs, gives up the
upper cut-off, or (the authors') draws from the whole batch, even the anchor's own class. Here its
negatives become equally likely: the positive pairs go on teaching, the far negative hardly does.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import ConfigError, Miner, Pairs, Triplets, Uniform

_WHOLE = 2**32  # Weights as integers: their running sums are exact, so deterministic on GPUs too.


class DistanceWeighted(Miner):
    """For every positive pair one negative, drawn with the inverse density of its distance.

    Anchors without any negative have no triplets. The draw comes from torch's global generator of
    the embeddings' device.

    Args:
        lower_cutoff: distances below it count as this one, lest a few nearest take all the weight.
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
        has_negative = pairs.negative.any(1, keepdim=True)
        anchor, positive = (pairs.positive & has_negative).nonzero(as_tuple=True)
        nth_positive = pairs.positive.cumsum(1)[anchor, positive] - 1
        return Triplets(anchor, positive, self._draw(pairs)[anchor, nth_positive])

    def _draw(self, pairs: Pairs) -> Tensor:
        """Return negatives ``[B, P]``, one for each of the at most P positives of an anchor."""
        log_weight = self._log_weight(pairs)
        # An anchor without negatives has only minus infinity, and minus that is NaN.
        highest = log_weight.amax(1, keepdim=True).clamp_min(torch.finfo(log_weight.dtype).min)
        up_to = ((log_weight - highest).exp() * _WHOLE).long().cumsum(1)
        shape = (len(pairs), int(pairs.positive.sum(1).max()))
        draw = torch.randint(2**62, shape, device=up_to.device) % up_to[:, -1:].clamp_min(1)
        return torch.searchsorted(up_to, draw, right=True)

    def _log_weight(self, pairs: Pairs) -> Tensor:
        """Return -log q for the distances ``[B, M]``, minus infinity for what is not drawn."""
        near = pairs.negative & (pairs.distance < self.upper_cutoff)
        drawn = torch.where(near.any(1, keepdim=True), near, pairs.negative)
        # Beyond the upper cut-off all distances count as one: the far ones are equally likely.
        distance = pairs.distance.clamp(self.lower_cutoff, self.upper_cutoff)
        dimension = pairs.anchors.shape[1]
        log_density = (dimension - 2) * distance.log() + (dimension - 3) / 2 * torch.log1p(
            -distance.square() / 4
        )
        return (-log_density).masked_fill(~drawn, -torch.inf)
