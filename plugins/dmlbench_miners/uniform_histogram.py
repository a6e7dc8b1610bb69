"""Uniform histogram: pairs at all distances that occur, equally many of each.

The distances of the positive pairs, from the smallest to the largest, are divided into bins of
equal width; from each bin the same number of pairs is drawn, or all if there are fewer. Negative
pairs are drawn likewise. In many dimensions nearly all distances are alike, and a plain draw would
hardly see the near negatives and the far positives.

In the wild: pytorch-metric-learning's UniformHistogramMiner, 100 bins and 10 pairs of either kind
per bin. It draws with replacement, so a bin with one pair gives it ten times.

Our choice: the same numbers, without replacement: a pair is chosen or not. All pairs in a bin are
equally likely.
"""

from typing import Annotated

import torch
from torch import Tensor

from dmlbench import IntUniform, Miner, PairMask, Pairs
from dmlbench_miners.listing import places_of


class UniformHistogram(Miner):
    """Pairs whose distances are spread as evenly as the batch allows.

    The draw comes from torch's global generator of the CPU, the same on every device.

    Args:
        num_bins: parts of the range of distances, of each kind of pairs.
        pos_per_bin: positive pairs drawn from each bin.
        neg_per_bin: negative pairs drawn from each bin.
    """

    makes = "pairs"

    def __init__(
        self,
        *,
        num_bins: Annotated[int, IntUniform(1, 1000)] = 100,
        pos_per_bin: Annotated[int, IntUniform(1, 1000)] = 10,
        neg_per_bin: Annotated[int, IntUniform(1, 1000)] = 10,
    ) -> None:
        self.num_bins = num_bins
        self.pos_per_bin = pos_per_bin
        self.neg_per_bin = neg_per_bin

    def select(self, pairs: Pairs) -> PairMask:
        """Return the masks of drawn positives and drawn negatives, each ``[B, M]``."""
        return PairMask(
            self._draw(pairs.distance, pairs.positive, self.pos_per_bin),
            self._draw(pairs.distance, pairs.negative, self.neg_per_bin),
        )

    def _draw(self, distance: Tensor, mask: Tensor, per_bin: int) -> Tensor:
        places = places_of(mask)
        if not len(places):
            return mask
        # In random order, which sorting by bin keeps within each.
        places = places[torch.randperm(len(places), device="cpu").to(places.device)]
        bins, order = self._bins(distance.flatten()[places]).sort(stable=True)
        in_bin = bins.long().bincount(minlength=self.num_bins)
        rank = torch.arange(per_bin, device=places.device)
        first = in_bin.cumsum(0) - in_bin
        drawn = (first[:, None] + rank)[rank < in_bin[:, None]]
        chosen = mask & distance.isnan()  # for the loss to notice
        chosen.view(-1)[places[order[drawn]]] = True
        return chosen

    def _bins(self, values: Tensor) -> Tensor:
        """Return the bin of each value (int16, which sorts several times as fast)."""
        low, high = values.aminmax()
        scaled = (values - low) * (self.num_bins / (high - low).clamp_min(1e-30))
        return scaled.nan_to_num(nan=0).clamp(0, self.num_bins - 1).short()
